// Retention: removes what nobody needs any more, in small batches, without a person.
//
// Promises: orders with their effects, events, jobs and open dead letters stay. Every statement is short, any
// number of processes may run it. Process dies in between: the next run goes on.

import type { Log, System } from '../../engine/ports.ts';
import type { Database } from './database.ts';

// Rows per statement: some milliseconds of locks.
const batchRows = 1_000;
// How often it looks; a day's rows are gone within the hour.
const intervalMs = 600_000;
const hourMs = 3_600_000;

export type Retention = { readonly keysHours: number; readonly rowsDays: number };

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
      attempts: await repeat(
        `/* remove-old-attempts */ DELETE FROM attempts WHERE ctid IN (SELECT ctid FROM attempts WHERE at < $1 LIMIT $2) RETURNING 1`,
        [rowsBefore],
        signal,
      ),
      deadLetters: await repeat(
        `/* remove-old-dead-letters */ DELETE FROM dead_letters WHERE id IN (SELECT id FROM dead_letters WHERE closed_at < $1 LIMIT $2)
         RETURNING 1`,
        [rowsBefore],
        signal,
      ),
      replayLetters: await repeat(
        `/* remove-old-replay-letters */ DELETE FROM replay_letters WHERE ctid IN (
           SELECT l.ctid FROM replays r JOIN replay_letters l ON l.replay_id = r.id WHERE r.ended_at < $1 LIMIT $2) RETURNING 1`,
        [rowsBefore],
        signal,
      ),
      replays: await repeat(
        `/* remove-old-replays */ DELETE FROM replays WHERE id IN (
           SELECT id FROM replays r WHERE r.ended_at < $1
             AND NOT EXISTS (SELECT FROM replay_letters l WHERE l.replay_id = r.id) LIMIT $2) RETURNING 1`,
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
