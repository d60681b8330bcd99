// Rows of `dead_letters` and `attempts`: what did not succeed, for a person to look at.
//
// Promises: one open dead letter per job; dead letters are closed, never deleted before their retention.

import type { JobKey, Trouble } from '../../engine/ports.ts';
import type { DeadLetterClosing } from '../../flow/dead-letters.ts';
import type { OpenDeadLetter } from '../../flow/ports.ts';
import { plainArray, type Query } from './database.ts';

export type DeadLetterWrite = JobKey & {
  readonly id: string;
  readonly eventId: string;
  readonly eventType: string;
  readonly epoch: number;
  readonly trouble: Trouble;
  readonly attempts: number;
  readonly failedAt: Date;
};

export async function writeDeadLetters(query: Query, deadLetters: readonly DeadLetterWrite[]): Promise<void> {
  if (deadLetters.length === 0) return;
  await query(
    `/* write-dead-letters */ INSERT INTO dead_letters (id, order_id, version, consumer, event_id, event_type, epoch, failure_class, code,
                               message, attempts, failed_at, partner)
     SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::integer[], $4::text[], $5::uuid[], $6::text[], $7::integer[], $8::text[],
                          $9::text[], $10::text[], $11::integer[], $12::timestamptz[], $13::text[])`,
    [
      plainArray(deadLetters.map((l) => l.id)),
      plainArray(deadLetters.map((l) => l.subject)),
      plainArray(deadLetters.map((l) => l.version)),
      plainArray(deadLetters.map((l) => l.consumer)),
      plainArray(deadLetters.map((l) => l.eventId)),
      plainArray(deadLetters.map((l) => l.eventType)),
      plainArray(deadLetters.map((l) => l.epoch)),
      plainArray(deadLetters.map((l) => l.trouble.class)),
      deadLetters.map((l) => textOf(l.trouble.code)),
      deadLetters.map((l) => textOf(l.trouble.message)),
      plainArray(deadLetters.map((l) => l.attempts)),
      plainArray(deadLetters.map((l) => l.failedAt)),
      deadLetters.map((l) => l.trouble.dependency ?? ''),
    ],
  );
}

export type AttemptWrite = JobKey & {
  readonly eventId: string;
  readonly epoch: number;
  readonly attempt: number;
  // `done` where no event tells of it.
  readonly outcome: 'done' | 'retry' | 'wait' | 'takeover' | 'dead' | 'skipped';
  readonly code: string;
  readonly message: string;
  readonly dueInMs: number | null;
  // Null where none was made, or nobody knows: a dead worker's.
  readonly durationMs: number | null;
  readonly at: Date;
};

export async function writeAttempts(query: Query, attempts: readonly AttemptWrite[]): Promise<void> {
  if (attempts.length === 0) return;
  await query(
    `/* write-attempts */ INSERT INTO attempts
       (order_id, consumer, event_id, epoch, attempt, outcome, code, message, due_in_ms, at, duration_ms)
     SELECT * FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::integer[], $5::integer[], $6::text[], $7::text[], $8::text[],
                          $9::integer[], $10::timestamptz[], $11::integer[])`,
    [
      plainArray(attempts.map((a) => a.subject)),
      plainArray(attempts.map((a) => a.consumer)),
      plainArray(attempts.map((a) => a.eventId)),
      plainArray(attempts.map((a) => a.epoch)),
      plainArray(attempts.map((a) => a.attempt)),
      plainArray(attempts.map((a) => a.outcome)),
      attempts.map((a) => textOf(a.code)),
      attempts.map((a) => textOf(a.message)),
      plainArray(attempts.map((a) => a.dueInMs)),
      plainArray(attempts.map((a) => a.at)),
      plainArray(attempts.map((a) => a.durationMs)),
    ],
  );
}

// A partner may answer anything; kept are 500 characters without what PostgreSQL cannot store.
export function textOf(message: string): string {
  return message.replaceAll('\u0000', '').slice(0, 500).toWellFormed();
}

type DeadLetterRow = {
  id: string;
  version: number;
  consumer: string;
  event_id: string;
  event_type: string;
  epoch: number;
};

const openColumns = 'id, version, consumer, event_id, event_type, epoch';
const toOpenDeadLetter = (row: DeadLetterRow): OpenDeadLetter => ({
  id: row.id,
  version: row.version,
  consumer: row.consumer,
  eventId: row.event_id,
  eventType: row.event_type,
  epoch: row.epoch,
});

// Under the order's lock, in the order of its events.
export async function readDeadLettersOfOrder(query: Query, orderId: string): Promise<OpenDeadLetter[]> {
  const rows = await query<DeadLetterRow>(
    `/* read-open-dead-letters */ SELECT ${openColumns} FROM dead_letters WHERE order_id = $1 AND closed_at IS NULL
     ORDER BY version, id FOR UPDATE`,
    [orderId],
  );
  return rows.map(toOpenDeadLetter);
}

export async function closeDeadLettersIfOpen(
  query: Query,
  ids: readonly string[],
  how: DeadLetterClosing,
  at: Date,
): Promise<OpenDeadLetter[]> {
  const rows = await query<DeadLetterRow>(
    `/* close-dead-letters */ UPDATE dead_letters SET closed_at = $2, closed_how = $3 WHERE id = ANY($1::uuid[]) AND closed_at IS NULL
     RETURNING ${openColumns}`,
    [ids, at, how],
  );
  return rows.map(toOpenDeadLetter);
}
