// The steps of a replay that runs: taken by the one process that has its lease, each a guarded transaction.
//
// Promises: a dead letter is sent back in the transaction that closes it under its order's lock, creates its job again,
// notes it for the replay and moves the replay's count and time, all or nothing. So two replays, or a replay and a person,
// send it once; one that fails again is not sent a second time by the same replay; a pause holds from its answer on; and
// no driver is ever earlier than the rate allows. Process dies anywhere: the next driver goes on.
// What goes to one consumer of one order goes in the order of the events: not before an earlier one is sent and done.

import type { OrderId } from '../../domain/order.ts';
import { isRefusal } from '../../domain/refusals.ts';
import type { System } from '../../engine/ports.ts';
import { intervalMs } from '../../flow/operators/pace.ts';
import type { Replay, ReplayStore } from '../../flow/operators/replays.ts';
import { reprocessOrder } from '../../flow/orders/reprocess-order.ts';
import type { Database, Query } from './database.ts';
import { byIndex, countDeadLetters, readEndOfLook, selecting } from './dead-letter-list.ts';
import { audit, type ChangeOrder } from './desk.ts';
import { type ReplayRow, replayColumns, toReplay } from './replays.ts';

// Longer than a round of the driver and a slow database; a dead driver's replay stands still for as long.
const leaseMs = 10_000;
// What one driver takes on; more of them wait their turn.
const drivenMax = 10;
const pickMax = 100;
// Ended work that is counted at once.
const judgeMax = 2_000;

// Somebody else drives it, it was paused, or it is not time yet: everything of this step is taken back.
class ReplayMovedOnError extends Error {}

export function createReplaySteps(options: {
  readonly database: Database;
  readonly change: ChangeOrder;
  readonly system: System;
}): ReplayStore {
  const { database, change, system } = options;

  return {
    claim: async (token) => {
      const rows = await database.query<ReplayRow>(
        `/* claim-replays */ UPDATE replays r
         SET token = $1, lease_until = clock_timestamp() + ${leaseMs} * interval '1 millisecond'
         FROM (SELECT id FROM replays WHERE state = 'running' AND (token = $1 OR lease_until <= clock_timestamp())
               ORDER BY id LIMIT ${drivenMax} FOR UPDATE SKIP LOCKED) AS free
         WHERE r.id = free.id RETURNING ${replayColumns}`,
        [token],
      );
      return rows.map(toReplay);
    },

    judge: (id, token) =>
      database.transaction(async (query) => {
        const held = await query(`/* hold-replay */ SELECT 1 FROM replays WHERE ${isHeld} FOR UPDATE`, [id, token]);
        return held.length === 0 ? null : judgeReplay(query, id);
      }),

    pick: async (replay, after) => {
      const asked = { ...replay.filter, to: earlier(replay.filter.to, replay.createdAt), after, isClosed: false };
      const rows = await byIndex(database)<{ id: string; failed_at: Date }>(
        `/* pick-for-replay */ SELECT l.id, l.failed_at
         FROM (${selecting.lookedIn('ASC')}) l JOIN orders o ON o.id = l.order_id
         WHERE ${selecting.isLookedThrough}
           AND NOT EXISTS (SELECT FROM replay_letters r WHERE r.replay_id = $16 AND r.order_id = l.order_id
                             AND r.version = l.version AND r.consumer = l.consumer)
           AND NOT EXISTS (SELECT FROM dead_letters e WHERE e.order_id = l.order_id AND e.consumer = l.consumer
                             AND e.version < l.version AND e.closed_at IS NULL)
           AND NOT EXISTS (SELECT FROM jobs j WHERE j.order_id = l.order_id AND j.consumer = l.consumer
                             AND j.version < l.version AND j.epoch > 0)
         ORDER BY l.failed_at, l.id LIMIT $1`,
        [...selecting.indexedValues(pickMax, asked), ...selecting.lookedValues(asked), replay.id],
      );
      const last = rows.at(-1);
      const next =
        rows.length === pickMax && last !== undefined
          ? { failedAt: last.failed_at, id: last.id }
          : await readEndOfLook(byIndex(database), asked, 'ASC');
      return { letterIds: rows.map(({ id }) => id), next };
    },

    send: async (replay, token, letterId) => {
      const { id, by } = replay;
      const orderId = await readOrderOf(database.query, letterId);
      const now = system.now();
      const take = async (query: Query, outcome: 'skipped' | null) => {
        const taken = await query(
          `/* take-replay-turn */ UPDATE replays SET sent = sent + $5::integer, skipped = skipped + 1 - $5::integer,
             next_at = CASE WHEN $5 = 1 THEN greatest(next_at, $3) + $4::float8 * interval '1 millisecond' ELSE next_at END
           WHERE ${isHeld} AND ($5 = 0 OR next_at <= $3) RETURNING 1`,
          [id, token, now, intervalMs(replay), outcome === null ? 1 : 0],
        );
        if (taken.length === 0) throw new ReplayMovedOnError();
        await query(
          `/* note-replay-letter */ INSERT INTO replay_letters (replay_id, order_id, version, consumer, letter_id, sent_at, outcome)
           SELECT $1::uuid, l.order_id, l.version, l.consumer, l.id, $3::timestamptz, $4::text FROM dead_letters l WHERE l.id = $2`,
          [id, letterId, now, outcome],
        );
      };
      try {
        const answer = await change(
          orderId,
          (record, open, at) => {
            const decided = reprocessOrder(record, open, { deadLetterId: letterId, correlationId: id, by }, at);
            return isRefusal(decided) ? decided : { ...decided, detail: { ...decided.detail, replay: id } };
          },
          (query) => take(query, null),
        );
        if (!isRefusal(answer)) return 'sent';
        // It stays open for one that comes before it; this replay comes back to it.
        if (answer.refused === 'earlier-letter-open') return 'skipped';
        await database.transaction((query) => take(query, 'skipped'));
        return 'skipped';
      } catch (error) {
        if (error instanceof ReplayMovedOnError) return null;
        throw error;
      }
    },

    advance: async (id, token, stage) => {
      const rows = await database.query<ReplayRow>(
        `/* advance-replay */ UPDATE replays r SET stage = $3, stage_since = $4 WHERE ${isHeld} RETURNING ${replayColumns}`,
        [id, token, stage, system.now()],
      );
      return rows[0] === undefined ? null : toReplay(rows[0]);
    },

    end: async (replay, token, state, reason) => {
      const { id, filter, createdAt } = replay;
      const at = system.now();
      const asked = { ...filter, to: earlier(filter.to, createdAt) };
      const left = state === 'done' ? (await countDeadLetters(byIndex(database), asked)).count : 0;
      const why = reason ?? (left === 0 ? null : `${left} could not be sent back and are still open`);
      return database.transaction(async (query) => {
        const ended = await query(
          `/* end-replay */ UPDATE replays SET state = $3, state_reason = $4,
             ended_at = CASE WHEN $3 = 'done' THEN $5::timestamptz END
           WHERE ${isHeld} RETURNING 1`,
          [id, token, state, why, at],
        );
        if (ended.length === 0) return false;
        const detail = { replay: id, ...(why === null ? {} : { reason: why }) };
        await audit(query, {
          id: system.newId(),
          at,
          action: `replay-${state}`,
          orderId: null,
          detail,
          correlationId: id,
          by: null,
        });
        return true;
      });
    },
  };
}

const isHeld = `id = $1 AND token = $2 AND state = 'running'`;

const earlier = (one: Date | null | undefined, other: Date) => (one != null && one < other ? one : other);

// A dead letter that is not there has no order; a change of none is refused.
async function readOrderOf(query: Query, letterId: string): Promise<OrderId> {
  const rows = await query<{ order_id: OrderId }>(
    '/* read-order-of-letter */ SELECT order_id FROM dead_letters WHERE id = $1',
    [letterId],
  );
  return rows[0]?.order_id ?? (letterId as OrderId);
}

// Work has ended when its job is gone, or a reader of the event log has passed its event: well, unless its dead letter is
// there again.
async function judgeReplay(query: Query, id: string): Promise<Replay> {
  const rows = await query<ReplayRow>(
    `/* judge-replay */ WITH ended AS (
       SELECT r.order_id, r.version, r.consumer,
              EXISTS (SELECT FROM dead_letters l WHERE l.order_id = r.order_id AND l.version = r.version
                        AND l.consumer = r.consumer AND l.closed_at IS NULL) AS is_open
       FROM replay_letters r
       WHERE r.replay_id = $1 AND r.outcome IS NULL
         AND NOT EXISTS (SELECT FROM jobs j WHERE j.order_id = r.order_id AND j.version = r.version AND j.consumer = r.consumer)
         AND (EXISTS (SELECT FROM subscriptions s WHERE s.consumer = r.consumer)
              OR EXISTS (SELECT FROM events e JOIN cursors c ON c.read_to >= e.position AND NOT c.gaps @> e.position
                         WHERE e.order_id = r.order_id AND e.version = r.version
                           AND split_part(c.reader, '.', 1) = r.consumer))
       LIMIT ${judgeMax}
     ), told AS (
       UPDATE replay_letters r SET outcome = CASE WHEN e.is_open THEN 'failed' ELSE 'done' END
       FROM ended e
       WHERE r.replay_id = $1 AND r.order_id = e.order_id AND r.version = e.version AND r.consumer = e.consumer
       RETURNING r.outcome
     )
     UPDATE replays r SET done = r.done + (SELECT count(*) FROM told WHERE outcome = 'done')::integer,
                          failed = r.failed + (SELECT count(*) FROM told WHERE outcome = 'failed')::integer
     WHERE r.id = $1 RETURNING ${replayColumns}`,
    [id],
  );
  return toReplay(rows[0] as ReplayRow);
}
