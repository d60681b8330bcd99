// Where is my order: facts, attempts that failed, dead letters and people's acts, oldest first.
//
// Promises: read in one statement, hence one moment; bounded; each entry has a sentence that a person
// understands beside its codes.

import type { TimelineEntry } from '../../flow/sentences.ts';
import { sentenceFor } from '../../flow/sentences.ts';
import type { Query } from './database.ts';

// An order that was retried, canceled and reprocessed has some dozens; more tells nobody more.
const entriesMax = 1_000;

type Row = {
  at: Date;
  kind: 'fact' | 'attempt' | 'letter' | 'audit';
  type: string;
  consumer: string | null;
  attempt: number | null;
  outcome: string | null;
  code: string | null;
  detail: Record<string, unknown>;
  event_id: string | null;
  correlation_id: string | null;
  causation_id: string | null;
};

export async function readTimeline(query: Query, orderId: string): Promise<TimelineEntry[]> {
  const rows = await query<Row>(
    `/* order-timeline */ SELECT * FROM (
     SELECT e.time AS at, 'fact' AS kind, e.type, NULL AS consumer, NULL::integer AS attempt, NULL AS outcome, NULL AS code,
            e.data AS detail, e.id AS event_id, e.correlation_id, e.causation_id, e.version AS position
     FROM events e WHERE e.order_id = $1
     UNION ALL
     SELECT a.at, 'attempt', a.outcome, a.consumer, a.attempt, a.outcome, a.code,
            json_build_object('message', a.message, 'dueInMs', a.due_in_ms), a.event_id, NULL, NULL, 0
     FROM attempts a WHERE a.order_id = $1
     UNION ALL
     SELECT l.failed_at, 'letter', 'dead-letter', l.consumer, l.attempts, 'parked', l.code,
            json_build_object('message', l.message), l.event_id, NULL, NULL, 1
     FROM dead_letters l WHERE l.order_id = $1
     UNION ALL
     SELECT l.closed_at, 'letter', 'dead-letter-closed', l.consumer, NULL, l.closed_how, l.code,
            json_build_object('message', l.message), l.event_id, NULL, NULL, 0
     FROM dead_letters l WHERE l.order_id = $1 AND l.closed_at IS NOT NULL
     UNION ALL
     SELECT g.at, 'audit', g.action, NULL, NULL, NULL, NULL, g.detail, NULL, g.correlation_id, NULL, 0
     FROM audit_log g WHERE g.order_id = $1
     ORDER BY 1 DESC, 12 DESC LIMIT $2
     ) newest ORDER BY at, position`,
    [orderId, entriesMax],
  );
  return rows.map((row) => ({
    at: row.at,
    type: row.type,
    consumer: row.consumer,
    attempt: row.attempt,
    outcome: row.outcome,
    code: row.code,
    text: sentenceFor(row),
    eventId: row.event_id,
    correlationId: row.correlation_id,
    causationId: row.causation_id,
  }));
}
