// Rows of `dead_letters` and `attempts`: what did not succeed, for a person to look at.
//
// Promises: one open letter per consumer and delivery; letters are closed, never deleted before their
// retention; an unread message is kept with its bytes, once however often it comes.

import { createHash } from 'node:crypto';
import { envelopeBytesMax } from '../../engine/envelope.ts';
import type { Trouble, Unread } from '../../engine/ports.ts';
import type { DeadLetter, LetterFilter, LetterPage, OpenLetter } from '../../flow/ports.ts';
import type { Query } from './database.ts';

export type LetterWrite = {
  readonly id: string;
  readonly orderId: string;
  readonly consumer: string;
  readonly eventId: string;
  readonly eventType: string;
  readonly trouble: Trouble;
  readonly attempts: number;
  readonly failedAt: Date;
};

export async function writeLetters(query: Query, letters: readonly LetterWrite[]): Promise<void> {
  if (letters.length === 0) return;
  await query(
    `/* write-letters */ INSERT INTO dead_letters (id, order_id, consumer, delivery_id, event_id, event_type, failure_class, code, message,
                               attempts, failed_at)
     SELECT id, order_id, consumer, event_id, event_id, event_type, failure_class, code, message, attempts, failed_at
     FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::uuid[], $5::text[], $6::text[], $7::text[], $8::text[],
                 $9::integer[], $10::timestamptz[])
       AS l(id, order_id, consumer, event_id, event_type, failure_class, code, message, attempts, failed_at)`,
    [
      letters.map((l) => l.id),
      letters.map((l) => l.orderId),
      letters.map((l) => l.consumer),
      letters.map((l) => l.eventId),
      letters.map((l) => l.eventType),
      letters.map((l) => l.trouble.class),
      letters.map((l) => textOf(l.trouble.code)),
      letters.map((l) => textOf(l.trouble.message)),
      letters.map((l) => l.attempts),
      letters.map((l) => l.failedAt),
    ],
  );
}

export type AttemptWrite = {
  readonly orderId: string;
  readonly consumer: string;
  readonly eventId: string;
  readonly epoch: number;
  readonly attempt: number;
  readonly outcome: 'retry' | 'wait' | 'takeover' | 'dead' | 'skipped';
  readonly code: string;
  readonly message: string;
  readonly dueInMs: number | null;
  readonly at: Date;
};

export async function writeAttempts(query: Query, attempts: readonly AttemptWrite[]): Promise<void> {
  if (attempts.length === 0) return;
  await query(
    // How long it took is known to the database; of a dead worker's attempt nobody knows, and what was left out took none.
    `/* write-attempts */ INSERT INTO attempts
       (order_id, consumer, event_id, epoch, attempt, outcome, code, message, due_in_ms, at, duration_ms)
     SELECT a.*, CASE WHEN a.outcome NOT IN ('takeover', 'skipped') THEN (
              SELECT extract(epoch FROM clock_timestamp() - d.started_at) * 1000 FROM deliveries d
              WHERE d.event_id = a.event_id AND d.consumer = a.consumer)::integer END
     FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::integer[], $5::integer[], $6::text[], $7::text[], $8::text[],
                 $9::integer[], $10::timestamptz[])
       AS a(order_id, consumer, event_id, epoch, attempt, outcome, code, message, due_in_ms, at)`,
    [
      attempts.map((a) => a.orderId),
      attempts.map((a) => a.consumer),
      attempts.map((a) => a.eventId),
      attempts.map((a) => a.epoch),
      attempts.map((a) => a.attempt),
      attempts.map((a) => a.outcome),
      attempts.map((a) => textOf(a.code)),
      attempts.map((a) => textOf(a.message)),
      attempts.map((a) => a.dueInMs),
      attempts.map((a) => a.at),
    ],
  );
}

// A partner may answer anything; kept are 500 characters without what PostgreSQL cannot store.
export function textOf(message: string): string {
  return message.replaceAll('\u0000', '').slice(0, 500).toWellFormed();
}

// An id for bytes that have none: the same bytes are the same delivery (RFC 9562, version 8).
function idOfBytes(body: Buffer): string {
  const hex = createHash('sha256').update(body).digest('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}

export async function parkUnread(
  query: Query,
  letter: { id: string; consumer: string; unread: Unread; failedAt: Date; token: string },
): Promise<void> {
  const { unread } = letter;
  // One byte more than is allowed: read again, what was too large is too large again.
  const body = unread.body.subarray(0, envelopeBytesMax + 1);
  // A closed letter's delivery is due; the same message parked again is dead again, with a new letter.
  await query(
    `/* park-unread */ WITH delivery AS (
       INSERT INTO deliveries AS d (event_id, consumer, state, token, epoch, attempt, takeovers)
       VALUES ($2, $3, 'dead', $4, 0, 1, 0)
       ON CONFLICT (event_id, consumer) DO UPDATE SET state = 'dead', due_at = NULL
     )
     INSERT INTO dead_letters (id, consumer, delivery_id, event_id, event_type, failure_class, code, message, attempts,
                               failed_at, raw)
     VALUES ($1, $3, $2, $5, $6, 'non-retryable', $7, $8, 1, $9, $10)
     ON CONFLICT (consumer, delivery_id) WHERE closed_at IS NULL DO NOTHING`,
    [
      letter.id,
      idOfBytes(body),
      letter.consumer,
      letter.token,
      unread.eventId,
      unread.eventType === null ? null : textOf(unread.eventType),
      unread.code,
      textOf(unread.message),
      letter.failedAt,
      body,
    ],
  );
}

export async function finishUnreadIfWaiting(query: Query, consumer: string, deliveryId: string): Promise<void> {
  await query(
    `/* finish-unread */ UPDATE deliveries SET state = 'done', due_at = NULL
     WHERE event_id = $1 AND consumer = $2 AND order_id IS NULL AND state = 'waiting'`,
    [deliveryId, consumer],
  );
}

type LetterRow = {
  id: string;
  order_id: string | null;
  consumer: string;
  delivery_id: string;
  event_id: string | null;
  event_type: string | null;
  failure_class: string;
  code: string;
  message: string;
  attempts: number;
  failed_at: Date;
  status: NonNullable<DeadLetter['order']>['status'] | null;
  amount: number;
  currency: string;
};

function toLetter(row: LetterRow): DeadLetter {
  return {
    id: row.id,
    orderId: row.order_id,
    consumer: row.consumer,
    eventId: row.event_id,
    eventType: row.event_type,
    failureClass: row.failure_class,
    code: row.code,
    message: row.message,
    attempts: row.attempts,
    retryCount: Math.max(0, row.attempts - 1),
    failedAt: row.failed_at,
    order: row.status === null ? null : { status: row.status, amount: row.amount, currency: row.currency },
  };
}

export async function readOpenLetters(query: Query, filter: LetterFilter): Promise<LetterPage> {
  // One more than asked for tells whether there is a next page.
  const rows = await query<LetterRow>(
    `/* list-letters */ SELECT l.id, l.order_id, l.consumer, l.delivery_id, l.event_id, l.event_type, l.failure_class, l.code, l.message,
            l.attempts, l.failed_at, o.status, o.amount, o.currency
     FROM dead_letters l LEFT JOIN orders o ON o.id = l.order_id
     WHERE l.closed_at IS NULL
       AND ($2::timestamptz IS NULL OR (l.failed_at, l.id) < ($2::timestamptz, $3::uuid))
       AND ($4::text IS NULL OR l.consumer = $4) AND ($5::text IS NULL OR l.code = $5)
     ORDER BY l.failed_at DESC, l.id DESC LIMIT $1 + 1`,
    [filter.limit, filter.after?.failedAt ?? null, filter.after?.id ?? null, filter.consumer, filter.code],
  );
  const items = rows.slice(0, filter.limit).map(toLetter);
  const last = items.at(-1);
  return { items, next: rows.length > filter.limit && last ? { failedAt: last.failedAt, id: last.id } : null };
}

export async function readLettersOfOrder(query: Query, orderId: string): Promise<OpenLetter[]> {
  const rows = await query<LetterRow>(
    `/* read-open-letters */ SELECT id, consumer, delivery_id FROM dead_letters WHERE order_id = $1 AND closed_at IS NULL
     ORDER BY id FOR UPDATE`,
    [orderId],
  );
  return rows.map((row) => ({ id: row.id, consumer: row.consumer, deliveryId: row.delivery_id }));
}

export async function closeLettersIfOpen(
  query: Query,
  ids: readonly string[],
  how: 'reprocessed' | 'canceled',
  at: Date,
): Promise<OpenLetter[]> {
  const rows = await query<LetterRow>(
    `/* close-letters */ UPDATE dead_letters SET closed_at = $2, closed_how = $3 WHERE id = ANY($1::uuid[]) AND closed_at IS NULL
     RETURNING id, consumer, delivery_id`,
    [ids, at, how],
  );
  return rows.map((row) => ({ id: row.id, consumer: row.consumer, deliveryId: row.delivery_id }));
}

// The deliveries of closed letters: due at once with all their attempts, or over.
export async function reopenDeadDeliveries(query: Query, letters: readonly OpenLetter[]): Promise<void> {
  await query(
    `/* reopen-deliveries */ UPDATE deliveries d SET state = 'waiting', due_at = clock_timestamp(), epoch = d.epoch + 1, attempt = 0,
       takeovers = 0, waiting_since = NULL
     FROM unnest($1::uuid[], $2::text[]) AS l(event_id, consumer)
     WHERE d.event_id = l.event_id AND d.consumer = l.consumer AND d.state = 'dead'`,
    [letters.map((l) => l.deliveryId), letters.map((l) => l.consumer)],
  );
}
