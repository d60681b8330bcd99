// The rows behind an order's timeline: events, attempts, dead letters, people's acts, and what is still to be done.
//
// Promises: read in one statement, hence one moment; bounded. See src/flow/orders/timeline.ts for what becomes of them.

import type { TimelineEntry } from '../../flow/orders/sentences.ts';
import { type SeenRow, toTimeline } from '../../flow/orders/timeline.ts';
import type { Query } from './database.ts';

// An order that was retried, canceled and reprocessed has some dozens; more tells nobody more.
const entriesMax = 1_000;

type Row = {
  at: Date | null;
  kind: SeenRow['kind'];
  type: string;
  consumer: string | null;
  attempt: number | null;
  outcome: string | null;
  code: string | null;
  detail: Record<string, unknown>;
  event_id: string | null;
  correlation_id: string | null;
  causation_id: string | null;
  position: number;
  traceparent: string | null;
  duration_ms: number | null;
  until: Date | null;
};

// Nobody has tried it, nor put it off.
const isUnclaimed = '(j.attempt = 0 AND j.waiting_since IS NULL)';

// What is not over has no time, and comes first of a result that is cut.
export async function readTimeline(query: Query, orderId: string, now: Date): Promise<TimelineEntry[]> {
  const rows = await query<Row>(
    `/* order-timeline */ SELECT * FROM (
     SELECT e.time AS at, 'event' AS kind, e.type, NULL AS consumer, e.attempt, NULL AS outcome, NULL AS code,
            e.data AS detail, e.id AS event_id, e.correlation_id, e.causation_id, e.version AS position, e.traceparent,
            e.duration_ms, NULL::timestamptz AS until
     FROM events e WHERE e.order_id = $1
     UNION ALL
     SELECT a.at, 'attempt', a.outcome, a.consumer, a.attempt, a.outcome, a.code,
            json_build_object('message', a.message, 'dueInMs', a.due_in_ms), a.event_id, NULL, NULL, 0, NULL,
            a.duration_ms, NULL
     FROM attempts a WHERE a.order_id = $1
     UNION ALL
     SELECT l.failed_at, 'dead letter', 'dead-letter', l.consumer, l.attempts, 'parked', l.code,
            json_build_object('message', l.message, 'isOpen', l.closed_at IS NULL), l.event_id, NULL, NULL, 1, NULL,
            NULL, NULL
     FROM dead_letters l WHERE l.order_id = $1
     UNION ALL
     SELECT l.closed_at, 'dead letter', 'dead-letter-closed', l.consumer, NULL, l.closed_how, l.code,
            json_build_object('message', l.message), l.event_id, NULL, NULL, 0, NULL, NULL, NULL
     FROM dead_letters l WHERE l.order_id = $1 AND l.closed_at IS NOT NULL
     UNION ALL
     SELECT g.at, 'audit', g.action, NULL, NULL, NULL, NULL, g.detail, NULL, g.correlation_id, NULL, 0, NULL, NULL, NULL
     FROM audit_log g WHERE g.order_id = $1
     UNION ALL
     SELECT NULL, 'job', CASE WHEN j.token IS NOT NULL THEN 'running' WHEN ${isUnclaimed} THEN 'unclaimed' ELSE 'waiting' END,
            j.consumer, j.attempt, NULL, NULL,
            json_build_object('eventType', e.type, 'isUncharged', j.waiting_since IS NOT NULL,
                              'isDue', coalesce(j.lease_until, j.due_at) <= clock_timestamp(),
                              'isDown', (SELECT json_agg(d.name) FROM dependencies d)),
            e.id, e.correlation_id, NULL, 0, NULL, NULL,
            CASE WHEN NOT ${isUnclaimed} OR j.token IS NOT NULL THEN coalesce(j.lease_until, j.due_at) END
     FROM jobs j JOIN events e USING (order_id, version) WHERE j.order_id = $1
     ORDER BY 1 DESC, 12 DESC LIMIT $2
     ) newest ORDER BY at, position`,
    [orderId, entriesMax],
  );
  return toTimeline(rows.map(toSeen), now);
}

const toSeen = (row: Row): SeenRow => ({
  ...row,
  eventId: row.event_id,
  correlationId: row.correlation_id,
  causationId: row.causation_id,
  durationMs: row.duration_ms,
});
