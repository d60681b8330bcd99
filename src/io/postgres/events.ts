// Rows of `events`: an event and the jobs that it makes are always written by one statement.
//
// Promises: append-only; a version of an order exists once (a second writer fails on the unique key), and has a
// higher position than the versions before it; an event is read at the newest version of its type, and published as it
// was written.

import { upcast } from '../../domain/upcasts.ts';
import type { Event } from '../../engine/ports.ts';
import { plainArray, type Query } from './database.ts';

export type EventRow = {
  event_id: string;
  event_order_id: string;
  event_version: number;
  type: string;
  data: Record<string, unknown>;
  event_correlation_id: string;
  causation_id: string | null;
  event_traceparent: string | null;
  time: Date;
};

export const eventColumns = `
  e.id AS event_id, e.order_id AS event_order_id, e.version AS event_version, e.type, e.data,
  e.correlation_id AS event_correlation_id, e.causation_id, e.traceparent AS event_traceparent, e.time`;

// For readers: at the newest version of its type.
export function toNewestEvent(row: EventRow): Event {
  const event = toEvent(row);
  return { ...event, ...upcast(event.type, event.data) };
}

// As it was written.
export function toEvent(row: EventRow): Event {
  return {
    id: row.event_id,
    type: row.type,
    subject: row.event_order_id,
    version: row.event_version,
    time: row.time,
    correlationId: row.event_correlation_id,
    causationId: row.causation_id,
    traceparent: row.event_traceparent,
    data: row.data,
  };
}

// The attempt that wrote it, and how long it took: for the timeline.
export type EventWrite = Event & {
  readonly attempt?: number;
  readonly durationMs?: number | null;
  // Whose jobs are written as claimed: the token of each consumer.
  readonly tokens?: Tokens;
};
export type Tokens = Readonly<Record<string, string>>;

// With a job for every consumer that subscribes to the type: which those are is data, so a release that does not
// know a consumer creates its jobs all the same. Sorted, for positions follow the order of the input.
export async function appendEvents(query: Query, events: readonly EventWrite[], leaseMs = 0): Promise<void> {
  if (events.length === 0) return;
  await query(
    `/* append-events */ WITH given AS (
       SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::integer[], $4::text[], $5::json[], $6::text[], $7::uuid[],
                            $8::text[], $9::timestamptz[], $10::integer[], $11::integer[], $12::json[])
         AS e(id, order_id, version, type, data, correlation_id, causation_id, traceparent, time, attempt, duration_ms,
              tokens)
     ), event AS (
       INSERT INTO events (id, order_id, version, type, data, correlation_id, causation_id, traceparent, time, attempt,
                           duration_ms)
       SELECT id, order_id, version, type, data, correlation_id, causation_id, traceparent, time, attempt, duration_ms
       FROM given ORDER BY order_id, version
     )
     INSERT INTO jobs (order_id, version, consumer, event_type, ${claimColumns})
     SELECT e.order_id, e.version, s.consumer, e.type, ${claimOf('e.tokens', '$13')}
     FROM given e JOIN subscriptions s ON s.event_type = e.type`,
    [
      plainArray(events.map((e) => e.id)),
      plainArray(events.map((e) => e.subject)),
      plainArray(events.map((e) => e.version)),
      plainArray(events.map((e) => e.type)),
      events.map((e) => JSON.stringify(e.data)),
      events.map((e) => e.correlationId),
      plainArray(events.map((e) => e.causationId)),
      events.map((e) => e.traceparent),
      plainArray(events.map((e) => e.time)),
      plainArray(events.map((e) => e.attempt ?? null)),
      plainArray(events.map((e) => e.durationMs ?? null)),
      tokenValues(events.map((e) => e.tokens)),
      leaseMs,
    ],
  );
}

// The columns of a claim, in the row of a new job: `tokens` has the token of each consumer that claims it early.
export const claimColumns = 'token, lease_until, attempt';
export const claimOf = (tokens: string, leaseMs: string) => `(${tokens}->>s.consumer)::uuid,
       CASE WHEN ${tokens}->>s.consumer IS NOT NULL
            THEN clock_timestamp() + ${leaseMs}::float8 * interval '1 millisecond' END,
       (${tokens}->>s.consumer IS NOT NULL)::integer`;
export const tokenValues = (tokens: readonly (Tokens | undefined)[]): (string | null)[] =>
  tokens.map((one) => (one === undefined ? null : JSON.stringify(one)));
