// What waits and who works, read for an operator's overview; and what a process tells of itself.
//
// Promises: each question is bounded, whatever there is: counts stop at `countMax`, jobs are read by (consumer, due_at)
// and only so many. Nothing in the flow depends on them.

import { type PresenceStore, silentMs } from '../../flow/operators/presence.ts';
import type { JobFilter, Overview, Process, ProcessState, WaitingJob } from '../../flow/operators/waiting.ts';
import { consumerNames, subscriptions } from '../../flow/subscriptions.ts';
import type { Database, Query } from './database.ts';
import { bounded, countMax } from './dead-letter-list.ts';
import { readPauses } from './pauses.ts';

const consumersOfJobs = subscriptions.map((row) => row.consumer);
const isFree = '(j.lease_until IS NULL OR j.lease_until <= now())';

export async function readOverview(query: Query): Promise<Overview> {
  return {
    jobs: await readJobCounts(query),
    deadLetters: await readDeadLetterCounts(query),
    down: await query<{ name: string; since: Date }>(
      '/* read-down */ SELECT name, down_since AS since FROM dependencies ORDER BY name',
    ),
    cursors: await readCursorPlaces(query),
    processes: await readProcesses(query),
    pauses: await readPauses(query),
  };
}

async function readJobCounts(query: Query): Promise<Overview['jobs']> {
  const rows = await query<{ consumer: string; due: number; waiting: number; oldest: Date | null }>(
    `/* count-jobs */ SELECT c.consumer, due.count AS due, waiting.count AS waiting, oldest.due_at AS oldest
     FROM unnest($1::text[]) AS c(consumer)
     CROSS JOIN LATERAL (SELECT count(*) FROM (SELECT FROM jobs j WHERE j.consumer = c.consumer AND j.due_at <= now()
                           AND ${isFree} ORDER BY j.due_at LIMIT ${countMax + 1}) AS counted) AS due
     CROSS JOIN LATERAL (SELECT count(*) FROM (SELECT FROM jobs j WHERE j.consumer = c.consumer AND j.due_at > now()
                           AND ${isFree} ORDER BY j.due_at LIMIT ${countMax + 1}) AS counted) AS waiting
     LEFT JOIN LATERAL (SELECT j.due_at FROM jobs j WHERE j.consumer = c.consumer AND j.due_at <= now() AND ${isFree}
                        ORDER BY j.due_at LIMIT 1) AS oldest ON true`,
    [consumersOfJobs],
  );
  return rows.map(({ consumer, due, waiting, oldest }) => ({
    ...{ consumer, due: bounded(due), waiting: bounded(waiting), oldestDueAt: oldest },
  }));
}

async function readDeadLetterCounts(query: Query): Promise<Overview['deadLetters']> {
  const rows = await query<{ consumer: string; count: number }>(
    `/* count-dead-letters-by-consumer */ SELECT c.consumer, n.count FROM unnest($1::text[]) AS c(consumer)
     CROSS JOIN LATERAL (SELECT count(*) FROM (SELECT FROM dead_letters l WHERE l.closed_at IS NULL AND l.consumer = c.consumer
                           LIMIT ${countMax + 1}) AS counted) AS n`,
    [[...consumerNames]],
  );
  return rows.map(({ consumer, count }) => ({ consumer, ...bounded(count) }));
}

async function readCursorPlaces(query: Query): Promise<Overview['cursors']> {
  const rows = await query<{
    reader: string;
    read_to: number;
    behind: number;
    oldest: Date | null;
    lease_until: Date | null;
  }>(
    `/* read-cursor-places */ SELECT c.reader, c.read_to,
            (greatest(0, coalesce((SELECT max(position) FROM events), 0) - c.read_to)
              + coalesce((SELECT sum(upper(gap) - lower(gap)) FROM unnest(c.gaps) AS gap), 0))::float8 AS behind,
            (SELECT e.time FROM events e WHERE e.position > c.read_to ORDER BY e.position LIMIT 1) AS oldest,
            CASE WHEN c.lease_until > clock_timestamp() THEN c.lease_until END AS lease_until
     FROM cursors c ORDER BY c.reader`,
  );
  return rows.map(({ reader, read_to, behind, oldest, lease_until }) => ({
    ...{ reader, readTo: read_to, behind, oldestAt: oldest, leaseUntil: lease_until },
  }));
}

async function readProcesses(query: Query): Promise<Process[]> {
  const rows = await query<{ id: string; started_at: Date; seen_at: Date; is_alive: boolean; state: ProcessState }>(
    `/* read-processes */ SELECT id, started_at, seen_at, state,
            seen_at > clock_timestamp() - ${silentMs} * interval '1 millisecond' AS is_alive
     FROM processes ORDER BY started_at, id LIMIT 1000`,
  );
  return rows.map(({ id, started_at, seen_at, is_alive, state }) => ({
    ...{ ...state, id, startedAt: started_at, seenAt: seen_at, isAlive: is_alive },
  }));
}

type JobRow = {
  order_id: string;
  version: number;
  consumer: string;
  event_type: string;
  state: WaitingJob['state'];
  created_at: Date;
  due_at: Date;
  lease_until: Date | null;
  attempt: number;
  epoch: number;
  is_uncharged: boolean;
  last_code: string | null;
};
const jobColumns = `j.order_id, j.version, j.consumer, j.event_type, j.created_at, j.due_at, j.attempt, j.epoch,
  CASE WHEN NOT ${isFree} THEN j.lease_until END AS lease_until, j.waiting_since IS NOT NULL AS is_uncharged,
  CASE WHEN NOT ${isFree} THEN 'running' WHEN j.due_at <= now() THEN 'due' ELSE 'waiting' END AS state,
  (SELECT a.code FROM attempts a WHERE a.order_id = j.order_id AND a.consumer = j.consumer
   ORDER BY a.at DESC LIMIT 1) AS last_code`;

const toJob = (row: JobRow): WaitingJob => ({
  orderId: row.order_id,
  version: row.version,
  consumer: row.consumer,
  eventType: row.event_type,
  state: row.state,
  createdAt: row.created_at,
  dueAt: row.due_at,
  leaseUntil: row.lease_until,
  attempt: row.attempt,
  epoch: row.epoch,
  isUncharged: row.is_uncharged,
  lastCode: row.last_code,
});

// Those that are due, wait, or are of one order; longest due first.
export async function readJobsWaiting(
  query: Query,
  { consumer, state, orderId, limit }: JobFilter,
): Promise<WaitingJob[]> {
  const rows = await query<JobRow>(
    `/* list-jobs */ SELECT ${jobColumns} FROM (
       SELECT j.* FROM unnest($1::text[]) AS c(consumer) CROSS JOIN LATERAL (
         SELECT * FROM jobs j WHERE j.consumer = c.consumer AND ($3::uuid IS NULL OR j.order_id = $3)
           AND ($4::text IS NULL OR ($4 = 'due' AND j.due_at <= now() AND ${isFree}) OR ($4 = 'waiting' AND j.due_at > now() AND ${isFree}))
         ORDER BY j.due_at LIMIT $2) AS j
       ORDER BY j.due_at LIMIT $2) AS j ORDER BY j.due_at`,
    [consumer === undefined ? consumersOfJobs : [consumer], limit, orderId ?? null, state ?? null],
  );
  return rows.map(toJob);
}

// What is claimed has no index: processes tell which, and their rows say what has become of it since.
export async function readJobsByKey(
  query: Query,
  keys: readonly { readonly orderId: string; readonly version: number; readonly consumer: string }[],
): Promise<WaitingJob[]> {
  const rows = await query<JobRow>(
    `/* read-jobs-by-key */ SELECT ${jobColumns} FROM unnest($1::uuid[], $2::integer[], $3::text[]) AS k(order_id, version, consumer)
     JOIN jobs j USING (order_id, version, consumer)`,
    [keys.map((key) => key.orderId), keys.map((key) => key.version), keys.map((key) => key.consumer)],
  );
  return rows.map(toJob);
}

export function createPresenceStore(database: Database): PresenceStore {
  return {
    tell: async (id, startedAt, state) => {
      await database.query(
        `/* tell-process */ WITH old AS (DELETE FROM processes WHERE seen_at < clock_timestamp() - interval '1 day')
         INSERT INTO processes (id, started_at, seen_at, state) VALUES ($1, $2, clock_timestamp(), $3)
         ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at, state = excluded.state`,
        [id, startedAt, JSON.stringify(state)],
      );
    },
    leave: async (id) => {
      await database.query('/* remove-process */ DELETE FROM processes WHERE id = $1', [id]);
    },
  };
}
