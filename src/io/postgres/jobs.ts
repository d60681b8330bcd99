// Rows of `jobs`: what each consumer still has to do, with its leases.
//
// Promises: a job is claimed only as it was read, deleted or put back only by the token that holds
// it; each of these is the guard of one statement below. All times are the database's.
// A claim touches no indexed column. Keys are joined from `unnest` in all three columns: with a constant
// consumer and no statistics the planner walks (consumer, due_at) instead, hundreds of times slower.

import type { Job } from '../../engine/admit.ts';
import type { JobKey, Sought } from '../../engine/ports.ts';
import { plainArray, type Query } from './database.ts';
import { type EventRow, eventColumns } from './events.ts';
import { type RecordRow, recordColumns } from './orders.ts';

export const keyOf = ({ consumer, subject, version }: JobKey) => `${subject} ${version} ${consumer}`;

export type JobRow = EventRow & {
  consumer: string;
  token: string | null;
  is_leased: boolean;
  is_due: boolean;
  epoch: number;
  attempt: number;
  takeovers: number;
  age_ms: number;
  waited_ms: number;
};

export function toJob(row: JobRow): Job {
  return {
    token: row.token,
    isLeased: row.is_leased,
    isDue: row.is_due,
    epoch: row.epoch,
    attempt: row.attempt,
    takeovers: row.takeovers,
    ageMs: row.age_ms,
    waitedMs: row.waited_ms,
  };
}

const keyArrays = 'unnest($1::uuid[], $2::integer[], $3::text[])';
export const keyValues = (keys: readonly JobKey[]) => [
  plainArray(keys.map((key) => key.subject)),
  plainArray(keys.map((key) => key.version)),
  plainArray(keys.map((key) => key.consumer)),
];
const msSince = (time: string) => `coalesce(extract(epoch FROM clock_timestamp() - ${time}) * 1000, 0)::float8`;

// A job that a person sent back goes after those of its order and consumer that were sent back for earlier events.
const isFirstOfItsOrder = `(j.epoch = 0 OR NOT EXISTS (SELECT FROM jobs f WHERE f.order_id = j.order_id
         AND f.consumer = j.consumer AND f.version < j.version AND f.epoch > 0))`;

// Due, held by nobody, and after none: what a poll could claim. `now()`, which the index can be searched by; it is the begin
// of the transaction.
export const isOpen = `j.due_at <= now() AND (j.lease_until IS NULL OR j.lease_until <= now()) AND ${isFirstOfItsOrder}`;

// Jobs with their events. A statement of its own, after the one that locks the orders: read with the locks it would
// show a free order with its job as it was before somebody else claimed it.
export async function readJobs(query: Query, keys: readonly JobKey[]): Promise<JobRow[]> {
  return query<JobRow>(
    `/* read-jobs */ SELECT ${eventColumns}, j.consumer, j.token, j.epoch, j.attempt, j.takeovers,
            coalesce(j.lease_until > clock_timestamp(), false) AS is_leased,
            j.due_at <= clock_timestamp() AND ${isFirstOfItsOrder} AS is_due,
            ${msSince('j.created_at')} AS age_ms, ${msSince('j.waiting_since')} AS waited_ms
     FROM ${keyArrays} AS k(order_id, version, consumer)
     JOIN jobs j USING (order_id, version, consumer) JOIN events e USING (order_id, version)`,
    keyValues(keys),
  );
}

export type TokenRow = { order_id: string; version: number; consumer: string; token: string | null; takeovers: number };

// For a settle, which has the event already.
export async function readTokens(query: Query, keys: readonly JobKey[]): Promise<Map<string, TokenRow>> {
  const rows = await query<TokenRow>(
    `/* read-tokens */ SELECT j.order_id, j.version, j.consumer, j.token, j.takeovers
     FROM ${keyArrays} AS k(order_id, version, consumer) JOIN jobs j USING (order_id, version, consumer)`,
    keyValues(keys),
  );
  return new Map(
    rows.map((row) => [keyOf({ subject: row.order_id, version: row.version, consumer: row.consumer }), row]),
  );
}

export type JobClaim = JobKey & {
  // As read; a claim is guarded by it.
  readonly before: string | null;
  readonly token: string;
  readonly attempt: number;
  readonly takeovers: number;
};

// Answers how many were as they were read.
export async function claimJobsIfUnchanged(
  query: Query,
  claims: readonly JobClaim[],
  leaseMs: number,
): Promise<number> {
  if (claims.length === 0) return 0;
  const rows = await query(
    `/* claim-jobs */ UPDATE jobs j SET token = w.token, attempt = w.attempt, takeovers = w.takeovers,
       lease_until = clock_timestamp() + $8::float8 * interval '1 millisecond'
     FROM unnest($1::uuid[], $2::integer[], $3::text[], $4::uuid[], $5::uuid[], $6::integer[], $7::integer[])
       AS w(order_id, version, consumer, before, token, attempt, takeovers)
     WHERE j.order_id = w.order_id AND j.version = w.version AND j.consumer = w.consumer
       AND j.token IS NOT DISTINCT FROM w.before AND (j.lease_until IS NULL OR j.lease_until <= clock_timestamp())
     RETURNING 1`,
    [
      ...keyValues(claims),
      plainArray(claims.map((claim) => claim.before)),
      plainArray(claims.map((claim) => claim.token)),
      plainArray(claims.map((claim) => claim.attempt)),
      plainArray(claims.map((claim) => claim.takeovers)),
      leaseMs,
    ],
  );
  return rows.length;
}

export type JobEnd = JobKey & { readonly token: string | null };

// The effect is in the same transaction: from here on there is nothing to do. Answers how many were held.
export async function deleteJobsIfHeld(query: Query, ends: readonly JobEnd[]): Promise<number> {
  if (ends.length === 0) return 0;
  const rows = await query(
    `/* delete-jobs */ DELETE FROM jobs j
     USING unnest($1::uuid[], $2::integer[], $3::text[], $4::uuid[]) AS w(order_id, version, consumer, token)
     WHERE j.order_id = w.order_id AND j.version = w.version AND j.consumer = w.consumer
       AND j.token IS NOT DISTINCT FROM w.token
     RETURNING 1`,
    [...keyValues(ends), plainArray(ends.map((end) => end.token))],
  );
  return rows.length;
}

export type JobPause = JobKey & {
  readonly token: string;
  readonly dueInMs: number;
  readonly attempt: number;
  readonly takeovers: number;
  // An uncharged wait goes on from its first one; a charged one ends it.
  readonly isCharged: boolean;
};

// Answers how many were held.
export async function pauseJobsIfHeld(query: Query, pauses: readonly JobPause[]): Promise<number> {
  if (pauses.length === 0) return 0;
  const rows = await query(
    `/* pause-jobs */ UPDATE jobs j SET token = NULL, lease_until = NULL, attempt = w.attempt, takeovers = w.takeovers,
       due_at = clock_timestamp() + w.due_in_ms * interval '1 millisecond',
       waiting_since = CASE WHEN NOT w.is_charged THEN coalesce(j.waiting_since, clock_timestamp()) END
     FROM unnest($1::uuid[], $2::integer[], $3::text[], $4::uuid[], $5::float8[], $6::integer[], $7::integer[], $8::boolean[])
       AS w(order_id, version, consumer, token, due_in_ms, attempt, takeovers, is_charged)
     WHERE j.order_id = w.order_id AND j.version = w.version AND j.consumer = w.consumer AND j.token = w.token
     RETURNING 1`,
    [
      ...keyValues(pauses),
      plainArray(pauses.map((pause) => pause.token)),
      plainArray(pauses.map((pause) => pause.dueInMs)),
      plainArray(pauses.map((pause) => pause.attempt)),
      plainArray(pauses.map((pause) => pause.takeovers)),
      pauses.map((pause) => pause.isCharged),
    ],
  );
  return rows.length;
}

// A person's reprocess: the job of each dead letter again, with all its attempts. Under the order's lock. A projection
// has no jobs: its cursor gets the event again (cursors.ts).
export async function recreateJobs(
  query: Query,
  orderId: string,
  deadLetters: readonly { consumer: string; version: number; eventType: string; epoch: number }[],
): Promise<void> {
  await query(
    `/* recreate-jobs */ INSERT INTO jobs (order_id, version, consumer, event_type, epoch)
     SELECT l.* FROM unnest($1::uuid[], $2::integer[], $3::text[], $4::text[], $5::integer[])
       AS l(order_id, version, consumer, event_type, epoch)
     WHERE EXISTS (SELECT FROM subscriptions s WHERE s.consumer = l.consumer)`,
    [
      ...keyValues(deadLetters.map(({ consumer, version }) => ({ consumer, version, subject: orderId }))),
      plainArray(deadLetters.map((deadLetter) => deadLetter.eventType)),
      plainArray(deadLetters.map((deadLetter) => deadLetter.epoch + 1)),
    ],
  );
}

// Where a poll begins: the oldest `due_at` of a consumer, never younger than a minute, which no transaction outlasts.
// Deleted rows stay in the index while anybody holds an old snapshot; behind this they need not be walked.
export async function readFloor(query: Query, consumer: string): Promise<Date> {
  const rows = await query<{ floor: Date }>(
    `/* read-floor */ SELECT least(min(due_at), now() - interval '1 minute') AS floor FROM jobs WHERE consumer = $1`,
    [consumer],
  );
  return rows[0]?.floor ?? new Date(0);
}

// In how many ms the next job of a consumer is due that is not due yet; null where none waits.
export async function readNextDue(query: Query, consumer: string): Promise<number | null> {
  const rows = await query<{ due_in_ms: number | null }>(
    `/* read-next-due */ SELECT (extract(epoch FROM min(due_at) - now()) * 1000)::float8 AS due_in_ms
     FROM jobs WHERE consumer = $1 AND due_at > now()`,
    [consumer],
  );
  return rows[0]?.due_in_ms ?? null;
}

export type Poll = {
  readonly consumer: string;
  readonly types: readonly string[];
  readonly dependencies: readonly string[];
  readonly sought: Sought;
  // What counts as too long, in ms.
  readonly patienceMs: number;
  readonly floor: Date;
  readonly limit: number;
  // Orders that a person holds back.
  readonly except?: readonly string[];
};

const isSought: Readonly<Record<Sought, string>> = {
  due: 'j.event_type = ANY($4::text[])',
  'waited-too-long': `j.event_type = ANY($4::text[]) AND greatest(j.created_at,
         (SELECT max(d.down_since) FROM dependencies d WHERE d.name = ANY($6::text[])))
         < now() - $5::float8 * interval '1 millisecond'
       AND EXISTS (SELECT FROM dependencies d WHERE d.name = ANY($6::text[]))`,
  'unknown-version': `j.event_type <> ALL ($4::text[]) AND j.created_at < now() - $5::float8 * interval '1 millisecond'`,
};

// Locks the orders of what is due, past those that somebody else has locked; two jobs of one order come as two rows.
export async function lockOrdersOfDueJobs(query: Query, poll: Poll): Promise<(RecordRow & DueRow)[]> {
  const { consumer, types, dependencies, sought, patienceMs, floor, limit, except = [] } = poll;
  const values: unknown[] = [consumer, floor, limit, types];
  if (sought !== 'due') values.push(patienceMs);
  if (sought === 'waited-too-long') values.push(dependencies);
  const isExcepted = except.length === 0 ? '' : `AND j.order_id <> ALL($${values.push(plainArray(except))}::uuid[])`;
  return query<RecordRow & DueRow>(
    `/* lock-orders-of-due-jobs */ SELECT j.version AS job_version, ${recordColumns}
     FROM jobs j JOIN orders o ON o.id = j.order_id
     WHERE j.consumer = $1 AND j.due_at >= $2 AND ${isOpen} AND ${isSought[sought]} ${isExcepted}
     ORDER BY j.due_at LIMIT $3 FOR NO KEY UPDATE OF o SKIP LOCKED`,
    values,
  );
}
export type DueRow = { job_version: number };
