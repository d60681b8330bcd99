// What an operator's tools ask of the database: is it there, is it migrated, what is owed.
//
// Promises: every question is one short statement; the answers are for people and dashboards, nothing in
// the flow depends on them.

import type { Database } from './database.ts';
import { expectedVersion, schemaVersion } from './migrate.ts';

export type Check = { readonly name: string; readonly status: 'ok' | 'failed'; readonly detail: string };

export async function checkDatabase(database: Database): Promise<Check[]> {
  try {
    const version = await schemaVersion(database);
    const isMigrated = version >= expectedVersion();
    return [
      { name: 'database', status: 'ok', detail: 'reachable' },
      {
        name: 'schema',
        status: isMigrated ? 'ok' : 'failed',
        detail: `version ${version}, this release needs ${expectedVersion()}`,
      },
    ];
  } catch {
    return [{ name: 'database', status: 'failed', detail: 'not reachable' }];
  }
}

export async function readBacklog(database: Database): Promise<{ outboxAgeSeconds: number; openLetters: number }> {
  const rows = await database.query<{ age: number; letters: number }>(
    `SELECT coalesce((SELECT extract(epoch FROM clock_timestamp() - e.time)::float8
                      FROM outbox o JOIN events e ON e.id = o.event_id ORDER BY o.position LIMIT 1), 0) AS age,
            (SELECT count(*)::integer FROM dead_letters WHERE closed_at IS NULL) AS letters`,
  );
  return { outboxAgeSeconds: Math.max(0, rows[0]?.age ?? 0), openLetters: rows[0]?.letters ?? 0 };
}
