// The rows behind an order's timeline: facts, attempts, dead letters, people's acts, and what is owed.
//
// Promises: read in one statement, hence one moment; bounded. See src/flow/orders/timeline.ts for what becomes of them.

import type { TimelineEntry } from '../../flow/orders/sentences.ts';
import { onTheWay, type SeenRow, toTimeline } from '../../flow/orders/timeline.ts';
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
  due_at: Date | null;
  ended_at: Date | null;
};

// What is not over has no time, and comes first of a result that is cut.
export async function readTimeline(query: Query, orderId: string, now: Date): Promise<TimelineEntry[]> {
  const rows = await query<Row>(
    `/* order-timeline */ SELECT * FROM (
     SELECT e.time AS at, 'fact' AS kind, e.type, NULL AS consumer, NULL::integer AS attempt, NULL AS outcome, NULL AS code,
            e.data AS detail, e.id AS event_id, e.correlation_id, e.causation_id, e.version AS position, e.traceparent,
            NULL::integer AS duration_ms, NULL::timestamptz AS due_at, NULL::timestamptz AS ended_at
     FROM events e WHERE e.order_id = $1
     UNION ALL
     SELECT a.at, 'attempt', a.outcome, a.consumer, a.attempt, a.outcome, a.code,
            json_build_object('message', a.message, 'dueInMs', a.due_in_ms), a.event_id, NULL, NULL, 0, NULL,
            a.duration_ms, NULL, NULL
     FROM attempts a WHERE a.order_id = $1
     UNION ALL
     SELECT l.failed_at, 'letter', 'dead-letter', l.consumer, l.attempts, 'parked', l.code,
            json_build_object('message', l.message, 'isOpen', l.closed_at IS NULL), l.event_id, NULL, NULL, 1, NULL,
            NULL, NULL, NULL
     FROM dead_letters l WHERE l.order_id = $1
     UNION ALL
     SELECT l.closed_at, 'letter', 'dead-letter-closed', l.consumer, NULL, l.closed_how, l.code,
            json_build_object('message', l.message), l.event_id, NULL, NULL, 0, NULL, NULL, NULL, NULL
     FROM dead_letters l WHERE l.order_id = $1 AND l.closed_at IS NOT NULL
     UNION ALL
     SELECT g.at, 'audit', g.action, NULL, NULL, NULL, NULL, g.detail, NULL, g.correlation_id, NULL, 0, NULL, NULL, NULL, NULL
     FROM audit_log g WHERE g.order_id = $1
     UNION ALL
     SELECT NULL, 'delivery', d.state, d.consumer, d.attempt, d.state, NULL,
            json_build_object('factType', e.type, 'isUncharged', d.waiting_since IS NOT NULL,
                              'isDue', coalesce(d.due_at <= clock_timestamp(), false)),
            e.id, e.correlation_id, NULL, 0, NULL, (extract(epoch FROM d.ended_at - d.started_at) * 1000)::integer,
            d.due_at, d.ended_at
     FROM events e JOIN deliveries d ON d.event_id = e.id
     WHERE e.order_id = $1 AND (d.due_at IS NOT NULL
       OR (d.state = 'done' AND d.started_at IS NOT NULL AND d.consumer = ANY($3::text[])))
     UNION ALL
     SELECT NULL, 'unclaimed', 'unclaimed', s.consumer, NULL, NULL, NULL, json_build_object('factType', e.type), e.id, e.correlation_id, NULL, 0, NULL, NULL, NULL, NULL
     FROM events e JOIN unnest($3::text[], $4::text[]) AS s(consumer, type) ON s.type = e.type
     JOIN watermarks m ON m.consumer = s.consumer AND m.type = e.type
     WHERE e.order_id = $1 AND e.xid > m.xid
       AND NOT EXISTS (SELECT FROM deliveries d WHERE d.event_id = e.id AND d.consumer = s.consumer)
     ORDER BY 1 DESC, 12 DESC LIMIT $2
     ) newest ORDER BY at, position`,
    [orderId, entriesMax, onTheWay.map(({ consumer }) => consumer), onTheWay.map(({ type }) => type)],
  );
  return toTimeline(rows.map(toSeen), now);
}

const toSeen = (row: Row): SeenRow => ({
  ...row,
  at: row.kind === 'delivery' && row.due_at === null ? row.ended_at : row.at,
  eventId: row.event_id,
  correlationId: row.correlation_id,
  causationId: row.causation_id,
  // Of an attempt that is not over, the time before it is no duration of it.
  durationMs: row.due_at === null ? row.duration_ms : null,
  until: row.due_at,
});
