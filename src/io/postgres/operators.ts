// What operators read: one dead letter with all that is known of it, its causes among others, the audit log.
//
// Promises: reads only, each of a bounded cost. Relies on dead-letter-list.ts and dead-letter-groups.ts for the rest.

import type { OrderId } from '../../domain/order.ts';
import { isRefusal, refuse } from '../../domain/refusals.ts';
import type { System } from '../../engine/ports.ts';
import type { Attempt, AuditEntry, AuditFilter, AuditPage, OperatorDesk } from '../../flow/operators/ports.ts';
import type { By } from '../../flow/ports.ts';
import type { Database, Query } from './database.ts';
import { readDeadLetterGroups } from './dead-letter-groups.ts';
import { byIndex, lookMax, readDeadLetter, readDeadLettersEverOf } from './dead-letter-list.ts';
import { orUnavailable } from './errors.ts';
import { type EventRow, eventColumns, toEvent } from './events.ts';
import { readOrder } from './orders.ts';
import { readTimeline } from './timeline.ts';

export function createOperatorDesk(options: {
  readonly database: Database;
  readonly system: Pick<System, 'now'>;
}): Pick<OperatorDesk, 'deadLetterGroups' | 'deadLetter' | 'audit'> {
  const { database, system } = options;

  const reading = <T>(read: (query: Query) => Promise<T>) => orUnavailable(false, () => read(byIndex(database)));

  return {
    deadLetterGroups: (by, selection) => reading((query) => readDeadLetterGroups(query, by, selection)),
    audit: (filter) => reading((query) => readAudit(query, filter)),
    deadLetter: (id) =>
      reading(async (query) => {
        const letter = await readDeadLetter(query, id);
        const order = letter === null ? null : await readOrder(query, letter.orderId as OrderId);
        if (letter === null || order === null) return refuse('no-dead-letter', `there is no dead letter ${id}`);
        const event = await readEventOf(query, id);
        if (isRefusal(event)) return event;
        return {
          letter,
          order,
          event,
          attempts: await readAttempts(query, letter),
          timeline: await readTimeline(query, letter.orderId, system.now()),
          others: (await readDeadLettersEverOf(query, letter.orderId)).filter((other) => other.id !== id),
        };
      }),
  };
}

async function readEventOf(query: Query, deadLetterId: string) {
  const rows = await query<EventRow>(
    `/* read-event-of-dead-letter */ SELECT ${eventColumns} FROM dead_letters l JOIN events e USING (order_id, version)
     WHERE l.id = $1`,
    [deadLetterId],
  );
  return rows[0] === undefined
    ? refuse('no-dead-letter', `dead letter ${deadLetterId} has no event`)
    : toEvent(rows[0]);
}

async function readAttempts(
  query: Query,
  of: { orderId: string; consumer: string; eventId: string },
): Promise<Attempt[]> {
  const rows = await query<Omit<Attempt, 'durationMs'> & { duration_ms: number | null }>(
    `/* read-attempts */ SELECT at, attempt, epoch, outcome, code, message, duration_ms FROM attempts
     WHERE order_id = $1 AND consumer = $2 AND event_id = $3 ORDER BY at, attempt LIMIT 1000`,
    [of.orderId, of.consumer, of.eventId],
  );
  return rows.map(({ duration_ms, ...attempt }) => ({ ...attempt, durationMs: duration_ms }));
}

type AuditRow = Omit<AuditEntry, 'by' | 'orderId' | 'correlationId'> & {
  operator: By;
  order_id: string | null;
  correlation_id: string;
};

// Ids sort by time. What is rare is looked for among so many entries at a time.
async function readAudit(
  query: Query,
  { limit, after, action, by, orderId, from, to }: AuditFilter,
): Promise<AuditPage> {
  const values = [limit, after?.id ?? null, orderId ?? null, from ?? null, to ?? null];
  const isPassed = `($2::uuid IS NULL OR g.id < $2) AND ($3::uuid IS NULL OR g.order_id = $3)
       AND ($4::timestamptz IS NULL OR g.at >= $4) AND ($5::timestamptz IS NULL OR g.at < $5)`;
  const rows = await query<AuditRow>(
    `/* read-audit */ SELECT g.id, g.at, g.action, g.operator, g.order_id, g.detail, g.correlation_id
     FROM (SELECT * FROM audit_log g WHERE ${isPassed} ORDER BY g.id DESC LIMIT ${lookMax}) AS g
     WHERE ($6::text IS NULL OR g.action = $6) AND ($7::text IS NULL OR g.operator = $7)
     ORDER BY g.id DESC LIMIT $1 + 1`,
    [...values, action ?? null, by ?? null],
  );
  const items = rows.slice(0, limit).map(({ operator, order_id, correlation_id, ...entry }) => ({
    ...entry,
    by: operator,
    orderId: order_id,
    correlationId: correlation_id,
  }));
  const last = items.at(-1);
  if (rows.length > limit && last) return { items, next: { at: last.at, id: last.id } };
  if (action === undefined && by === undefined) return { items, next: null };
  const end = await query<{ at: Date; id: string }>(
    `/* find-end-of-audit-look */ SELECT g.at, g.id FROM audit_log g WHERE ${isPassed} ORDER BY g.id DESC LIMIT 1 OFFSET $1`,
    [lookMax - 1, ...values.slice(1)],
  );
  return { items, next: end[0] ?? null };
}
