// Bulk replays for people: started, looked at, paused, resumed, canceled.
//
// Promises: each act and its row of the audit log are one transaction; repeating an act changes nothing. A pause or a
// cancel that was answered holds: what is sent afterwards is sent under a guard that it has broken (replay-steps.ts).

import { isRefusal, type Refusal, refuse } from '../../domain/refusals.ts';
import type { System } from '../../engine/ports.ts';
import type { DeadLetterSelection } from '../../flow/dead-letters.ts';
import type { Asking, Replay, ReplayState, Replays } from '../../flow/operators/replays.ts';
import type { By } from '../../flow/ports.ts';
import type { Database, Query } from './database.ts';
import { byIndex, countDeadLetters, readDeadLetters } from './dead-letter-list.ts';
import { audit } from './desk.ts';
import { orUnavailable } from './errors.ts';

export type ReplayRow = {
  id: string;
  filter: DeadLetterSelection & { from?: string | null; to?: string | null };
  created_at: Date;
  reason: string;
  operator: By;
  rate: number | null;
  canary: boolean;
  stop_share: number;
  total: number;
  total_is_at_least: boolean;
  state: ReplayState;
  state_reason: string | null;
  ended_at: Date | null;
  stage: number;
  stage_since: Date;
  next_at: Date;
  sent: number;
  done: number;
  failed: number;
  skipped: number;
  judged_done: number;
  judged_failed: number;
};

export const replayColumns = `r.id, r.filter, r.created_at, r.reason, r.operator, r.rate, r.canary, r.stop_share, r.total,
  r.total_is_at_least, r.state, r.state_reason, r.ended_at, r.stage, r.stage_since, r.next_at, r.sent, r.done, r.failed,
  r.skipped, r.judged_done, r.judged_failed`;

const toDate = (text: string | null | undefined) => (text == null ? null : new Date(text));

export function toReplay(row: ReplayRow): Replay {
  const { id, reason, rate, canary, state, stage, sent, done, failed, skipped } = row;
  return {
    ...{ id, reason, rate, canary, state, stage, sent, done, failed, skipped },
    filter: { ...row.filter, from: toDate(row.filter.from), to: toDate(row.filter.to) },
    createdAt: row.created_at,
    by: row.operator,
    stopShare: row.stop_share,
    total: { count: row.total, isAtLeast: row.total_is_at_least },
    stateReason: row.state_reason,
    endedAt: row.ended_at,
    stageSince: row.stage_since,
    nextAt: row.next_at,
    judgedDone: row.judged_done,
    judgedFailed: row.judged_failed,
  };
}

// From where to where an act leads; from anywhere else it changes nothing.
const acts = {
  pause: { from: ['running'], to: 'paused' },
  resume: { from: ['paused', 'stopped'], to: 'running' },
  cancel: { from: ['running', 'paused', 'stopped'], to: 'canceled' },
} as const;
type Act = keyof typeof acts;

export function createReplays(options: {
  readonly database: Database;
  readonly system: System;
  // One runs from here on.
  readonly onRunning: () => void;
}): Replays {
  const { database, system, onRunning } = options;

  const change =
    (act: Act) =>
    (id: string, { by, correlationId }: Asking) =>
      orUnavailable(true, async (): Promise<Replay | Refusal> => {
        const { from, to } = acts[act];
        const at = system.now();
        const replay = await database.transaction(async (query) => {
          const found = await readReplay(query, id, 'FOR UPDATE');
          if (isRefusal(found) || found.state === to) return found;
          if (!(from as readonly string[]).includes(found.state)) {
            return refuse('replay-over', `replay ${id} is ${found.state}`);
          }
          await audit(query, {
            id: system.newId(),
            at,
            action: `replay-${to}`,
            orderId: null,
            detail: { replay: id },
            correlationId,
            by,
          });
          return moveReplay(query, found, to, at);
        });
        if (!isRefusal(replay) && replay.state === 'running') onRunning();
        return replay;
      });

  return {
    dryRun: (filter) =>
      orUnavailable(false, async () => {
        const { items } = await readDeadLetters(byIndex(database), { ...filter, limit: 5, after: null });
        return { ...(await countDeadLetters(byIndex(database), filter)), samples: items };
      }),

    start: (request, { by, correlationId }) =>
      orUnavailable(true, async () => {
        const { filter, reason, rate, canary, stopShare } = request;
        const id = system.newId();
        const at = system.now();
        const total = await countDeadLetters(byIndex(database), filter);
        const detail = { replay: id, filter, reason };
        const replay = await database.transaction(async (query) => {
          await audit(query, {
            id: system.newId(),
            at,
            action: 'replay-started',
            orderId: null,
            detail,
            correlationId,
            by,
          });
          const rows = await query<ReplayRow>(
            `/* start-replay */ INSERT INTO replays AS r
               (id, filter, created_at, reason, operator, correlation_id, rate, canary, stop_share, total,
                total_is_at_least, state, stage, stage_since, next_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 'running', CASE WHEN $8 THEN 0 ELSE 1 END, $3, $3)
             RETURNING ${replayColumns}`,
            [
              ...[id, JSON.stringify(filter), at, reason, by, correlationId, rate, canary, stopShare],
              ...[total.count, total.isAtLeast],
            ],
          );
          return toReplay(rows[0] as ReplayRow);
        });
        onRunning();
        return replay;
      }),

    read: (id) => orUnavailable(false, () => readReplay(database.query, id, '')),

    // Ids sort by time.
    list: (limit, after) =>
      orUnavailable(false, async () => {
        const rows = await database.query<ReplayRow>(
          `/* list-replays */ SELECT ${replayColumns} FROM replays r WHERE ($2::uuid IS NULL OR r.id < $2)
           ORDER BY r.id DESC LIMIT $1 + 1`,
          [limit, after],
        );
        const items = rows.slice(0, limit).map(toReplay);
        const last = items.at(-1);
        return { items, next: rows.length > limit && last ? { at: last.createdAt, id: last.id } : null };
      }),

    pause: change('pause'),
    resume: change('resume'),
    cancel: change('cancel'),
  };
}

async function readReplay(query: Query, id: string, lock: '' | 'FOR UPDATE'): Promise<Replay | Refusal> {
  const rows = await query<ReplayRow>(
    `/* read-replay */ SELECT ${replayColumns} FROM replays r WHERE r.id = $1 ${lock}`,
    [id],
  );
  return rows[0] === undefined ? refuse('no-replay', `there is no replay ${id}`) : toReplay(rows[0]);
}

// Under its lock. After a stop it begins with its canary again, and is judged by what comes from then on.
async function moveReplay(query: Query, { id, state, canary }: Replay, to: ReplayState, at: Date): Promise<Replay> {
  const rows = await query<ReplayRow>(
    `/* move-replay */ UPDATE replays r SET state = $2, state_reason = NULL, stage_since = $3, token = NULL,
       lease_until = '-infinity', ended_at = CASE WHEN $2 = 'canceled' THEN $3::timestamptz END,
       stage = CASE WHEN $4::boolean THEN $5::integer ELSE stage END,
       judged_done = CASE WHEN $4 THEN done ELSE judged_done END,
       judged_failed = CASE WHEN $4 THEN failed ELSE judged_failed END
     WHERE r.id = $1 RETURNING ${replayColumns}`,
    [id, to, at, to === 'running' && state === 'stopped', canary ? 0 : 1],
  );
  return toReplay(rows[0] as ReplayRow);
}
