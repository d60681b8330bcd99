// Retention: removes what nobody needs any more, in small batches, without a person.
//
// Promises: orders, events and open letters stay. A finished delivery goes only when it is older
// than the retention and below its consumer's watermark, where a claim without a row answers
// `duplicate`; so removing it can never let an effect happen again. Every statement is short, any number
// of processes may run it. Process dies in between: the next run goes on.

import type { Log, System } from '../../engine/ports.ts';
import type { Database } from './database.ts';

// Rows per statement: some milliseconds of locks.
const batchRows = 1_000;
// How often it looks; a day's rows are gone within the hour.
const intervalMs = 600_000;
const hourMs = 3_600_000;

export type Retention = { readonly keysHours: number; readonly rowsDays: number };

// UUIDv7 begins with the milliseconds since 1970 in 48 bits (RFC 9562): ids below this one are older.
export function idBefore(time: Date): string {
  const hex = time.getTime().toString(16).padStart(12, '0');
  return `${hex.slice(0, 8)}-${hex.slice(8)}-7000-8000-000000000000`;
}

export function createCleanup(options: {
  readonly database: Database;
  readonly system: System;
  readonly retention: Retention;
  readonly log: Log;
}) {
  const { database, system, retention, log } = options;

  async function repeat(statement: string, values: readonly unknown[], signal: AbortSignal): Promise<number> {
    let removed = 0;
    while (!signal.aborted) {
      const rows = await database.query(statement, [...values, batchRows]);
      removed += rows.length;
      if (rows.length < batchRows) break;
    }
    return removed;
  }

  async function runOnce(signal: AbortSignal = new AbortController().signal): Promise<Record<string, number>> {
    const nowMs = system.now().getTime();
    const keysBefore = new Date(nowMs - retention.keysHours * hourMs);
    const rowsBefore = new Date(nowMs - retention.rowsDays * 24 * hourMs);
    return {
      keys: await repeat(
        `/* remove-old-keys */ DELETE FROM idempotency_keys WHERE key IN (
           SELECT key FROM idempotency_keys WHERE created_at < $1 LIMIT $2) RETURNING 1`,
        [keysBefore],
        signal,
      ),
      deliveries: await repeat(
        `/* remove-old-deliveries */ DELETE FROM deliveries d USING (
           SELECT d.event_id, d.consumer FROM deliveries d
           JOIN events e ON e.id = d.event_id
           JOIN watermarks m ON m.consumer = d.consumer AND m.type = e.type
           WHERE d.event_id < $1::uuid AND d.due_at IS NULL AND e.xid <= m.xid
             AND NOT EXISTS (SELECT FROM dead_letters l WHERE l.delivery_id = d.event_id AND l.consumer = d.consumer
                             AND l.closed_at IS NULL)
           ORDER BY d.event_id LIMIT $2) AS old
         WHERE d.event_id = old.event_id AND d.consumer = old.consumer AND d.due_at IS NULL RETURNING 1`,
        [idBefore(rowsBefore)],
        signal,
      ),
      attempts: await repeat(
        `/* remove-old-attempts */ DELETE FROM attempts WHERE ctid IN (SELECT ctid FROM attempts WHERE at < $1 LIMIT $2) RETURNING 1`,
        [rowsBefore],
        signal,
      ),
      letters: await repeat(
        // The delivery of an unread message has no fact whose age could be told; it goes with its letter.
        `/* remove-old-letters */ WITH old AS (
           DELETE FROM dead_letters WHERE id IN (SELECT id FROM dead_letters WHERE closed_at < $1 LIMIT $2)
           RETURNING consumer, delivery_id
         ), unread AS (
           DELETE FROM deliveries d USING old
           WHERE d.event_id = old.delivery_id AND d.consumer = old.consumer AND d.order_id IS NULL AND d.due_at IS NULL
             AND d.state <> 'dead'
         )
         SELECT FROM old`,
        [rowsBefore],
        signal,
      ),
    };
  }

  return {
    runOnce,
    run: async (signal: AbortSignal): Promise<void> => {
      while (!signal.aborted) {
        try {
          const removed = await runOnce(signal);
          if (Object.values(removed).some((count) => count > 0)) log.info(removed, 'old rows were removed');
        } catch (error) {
          log.warn({ error: String(error) }, 'old rows could not be removed; the next run tries again');
        }
        await system.sleep(intervalMs, signal);
      }
    },
  };
}
