// Rows of `deliveries`: the inbox, with its leases.
//
// Promises: a row is claimed only while it is due, ended only by the token that holds it, renewed only
// while its lease runs; each of these is the guard of one statement below. All times are the database's.

import type { Delivery } from '../../engine/admit.ts';
import type { Held } from '../../engine/leases.ts';
import type { Due } from '../../engine/ports.ts';
import { plainArray, type Query } from './database.ts';

type DeliveryRow = {
  event_id: string;
  consumer: string;
  state: Delivery['state'];
  token: string | null;
  epoch: number;
  attempt: number;
  takeovers: number;
  is_due: boolean;
  waited_ms: number;
};
export type DeliveryKey = { readonly consumer: string; readonly eventId: string };
export const keyOf = ({ consumer, eventId }: DeliveryKey) => `${consumer} ${eventId}`;

const waitedMs = `coalesce(extract(epoch FROM clock_timestamp() - d.waiting_since) * 1000, 0)::float8`;

export async function readDeliveries(query: Query, keys: readonly DeliveryKey[]): Promise<Map<string, Delivery>> {
  const rows = await query<DeliveryRow>(
    `/* read-deliveries */ SELECT d.event_id, d.consumer, d.state, d.token, d.epoch, d.attempt, d.takeovers,
            coalesce(d.due_at <= clock_timestamp(), false) AS is_due, ${waitedMs} AS waited_ms
     FROM unnest($1::uuid[], $2::text[]) AS k(event_id, consumer) JOIN deliveries d USING (event_id, consumer)`,
    [keys.map((key) => key.eventId), keys.map((key) => key.consumer)],
  );
  return new Map(
    rows.map((row) => [
      keyOf({ consumer: row.consumer, eventId: row.event_id }),
      {
        state: row.state,
        token: row.token,
        epoch: row.epoch,
        attempt: row.attempt,
        takeovers: row.takeovers,
        isDue: row.is_due,
        waitedMs: row.waited_ms,
      },
    ]),
  );
}

export type DeliveryWrite = DeliveryKey & {
  readonly orderId: string;
  readonly state: Delivery['state'];
  readonly token: string;
  readonly epoch: number;
  readonly attempt: number;
  readonly takeovers: number;
  // The lease while running, the pause while waiting, null at the end.
  readonly dueInMs: number | null;
  // `keep` leaves the time since which it waits uncharged, `start` begins it unless it runs, `end` ends it.
  readonly wait: 'keep' | 'start' | 'end';
};

function deliveryValues(writes: readonly DeliveryWrite[]): unknown[] {
  return [
    plainArray(writes.map((w) => w.eventId)),
    plainArray(writes.map((w) => w.consumer)),
    plainArray(writes.map((w) => w.orderId)),
    plainArray(writes.map((w) => w.state)),
    plainArray(writes.map((w) => w.token)),
    plainArray(writes.map((w) => w.epoch)),
    plainArray(writes.map((w) => w.attempt)),
    plainArray(writes.map((w) => w.takeovers)),
    plainArray(writes.map((w) => w.dueInMs)),
    plainArray(writes.map((w) => w.wait)),
  ];
}

const deliveryRows = `unnest($1::uuid[], $2::text[], $3::uuid[], $4::text[], $5::uuid[], $6::integer[], $7::integer[],
                   $8::integer[], $9::float8[], $10::text[])
       AS w(event_id, consumer, order_id, state, token, epoch, attempt, takeovers, due_in_ms, wait)`;
const dueAt = `clock_timestamp() + w.due_in_ms * interval '1 millisecond'`;

// A claim: enters the row, or takes it over because it is due. Answers how many it got.
export async function claimDeliveriesIfDue(query: Query, writes: readonly DeliveryWrite[]): Promise<number> {
  if (writes.length === 0) return 0;
  const rows = await query(
    `/* claim-deliveries */ INSERT INTO deliveries AS d
       (event_id, consumer, order_id, state, token, epoch, attempt, takeovers, due_at, waiting_since, started_at)
     SELECT w.event_id, w.consumer, w.order_id, w.state, w.token, w.epoch, w.attempt, w.takeovers, ${dueAt},
            CASE w.wait WHEN 'start' THEN clock_timestamp() END, CASE w.state WHEN 'running' THEN clock_timestamp() END
     FROM ${deliveryRows}
     ON CONFLICT (event_id, consumer) DO UPDATE SET
       state = excluded.state, token = excluded.token, epoch = excluded.epoch, attempt = excluded.attempt,
       takeovers = excluded.takeovers, due_at = excluded.due_at,
       waiting_since = coalesce(d.waiting_since, excluded.waiting_since),
       started_at = coalesce(excluded.started_at, d.started_at)
     WHERE d.due_at <= clock_timestamp()
     RETURNING 1`,
    deliveryValues(writes),
  );
  return rows.length;
}

// A settle: only the token that holds the row may end it or put it back. Answers how many did.
export async function endDeliveriesIfHeld(query: Query, writes: readonly DeliveryWrite[]): Promise<number> {
  if (writes.length === 0) return 0;
  const rows = await query(
    `/* end-deliveries */ UPDATE deliveries d SET state = w.state, attempt = w.attempt, due_at = ${dueAt},
       waiting_since = CASE w.wait WHEN 'end' THEN NULL WHEN 'start' THEN coalesce(d.waiting_since, clock_timestamp())
                                   ELSE d.waiting_since END,
       ended_at = clock_timestamp()
     FROM ${deliveryRows}
     WHERE d.event_id = w.event_id AND d.consumer = w.consumer AND d.token = w.token AND d.state = 'running'
     RETURNING 1`,
    deliveryValues(writes),
  );
  return rows.length;
}

// Extends the leases that still run; answers the tokens that are not theirs any more. A row that a settle
// has locked is left out of both: waiting for it could deadlock, and it is about to end.
export async function renewLeases(query: Query, held: readonly Held[], leaseMs: number): Promise<string[]> {
  const values = [held.map((one) => one.eventId), held.map((one) => one.consumer), held.map((one) => one.token)];
  await query(
    `/* renew-leases */ WITH mine AS (
       SELECT d.event_id, d.consumer
       FROM unnest($1::uuid[], $2::text[], $3::uuid[]) AS h(event_id, consumer, token)
       JOIN deliveries d USING (event_id, consumer, token)
       WHERE d.state = 'running' AND d.due_at > clock_timestamp()
       ORDER BY d.event_id, d.consumer FOR NO KEY UPDATE OF d SKIP LOCKED
     )
     UPDATE deliveries d SET due_at = clock_timestamp() + $4::float8 * interval '1 millisecond'
     FROM mine WHERE d.event_id = mine.event_id AND d.consumer = mine.consumer`,
    [...values, leaseMs],
  );
  const lost = await query<{ token: string }>(
    `/* find-lost-leases */ SELECT h.token FROM unnest($1::uuid[], $2::text[], $3::uuid[]) AS h(event_id, consumer, token)
     LEFT JOIN deliveries d USING (event_id, consumer)
     WHERE d.token IS DISTINCT FROM h.token OR d.state <> 'running' OR d.due_at <= clock_timestamp()`,
    values,
  );
  return lost.map((row) => row.token);
}

export async function readDue(
  query: Query,
  consumer: string,
  limit: number,
  waitedLongerThanMs: number | null,
): Promise<Due[]> {
  const rows = await query<{ event_id: string; raw: Buffer | null }>(
    `/* read-due */ SELECT d.event_id,
            CASE WHEN d.order_id IS NULL THEN (
              SELECT l.raw FROM dead_letters l WHERE l.delivery_id = d.event_id AND l.consumer = d.consumer
              ORDER BY l.failed_at DESC LIMIT 1) END AS raw
     FROM deliveries d
     WHERE d.consumer = $1 AND d.due_at <= clock_timestamp()
       AND ($3::float8 IS NULL OR d.waiting_since < clock_timestamp() - $3::float8 * interval '1 millisecond')
     ORDER BY d.due_at LIMIT $2`,
    [consumer, limit, waitedLongerThanMs],
  );
  return rows.map((row) => ({ eventId: row.event_id, raw: row.raw }));
}

// The embedded database has one process at a time: whatever a former one held, it is dead.
export async function endAllLeases(query: Query): Promise<void> {
  await query(`/* end-all-leases */ UPDATE deliveries SET due_at = clock_timestamp() WHERE state = 'running'`);
}
