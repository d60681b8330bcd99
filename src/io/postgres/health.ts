// What an operator's tools ask of the database: is it there, is it migrated.
//
// Promises: every question is one short statement; the answers are for people and probes, nothing in the
// flow depends on them.

import type { Database } from './database.ts';
import { isReadOnlyError } from './errors.ts';
import { expectedVersion, missingSubscription, type Subscribed, schemaVersion } from './migrate.ts';
import { rightsMistake, surroundingsMistake, type Use } from './surroundings.ts';

export type Check = { readonly name: string; readonly status: 'ok' | 'failed'; readonly detail: string };

// What a database that can be used answers.
export const wellChecked: readonly Check[] = [
  { name: 'database', status: 'ok', detail: 'reachable' },
  { name: 'schema', status: 'ok', detail: 'as this release needs it' },
];

export async function checkDatabase(database: Database, subscribed: readonly Subscribed[]): Promise<Check[]> {
  try {
    const mistake = await schemaMistake(database, subscribed);
    return wellChecked.map((check) =>
      check.name === 'schema' && mistake !== null ? { ...check, status: 'failed', detail: mistake } : check,
    );
  } catch (error) {
    const detail = isReadOnlyError(error) ? 'takes no writes: a standby, or set to read only' : 'not reachable';
    return [{ name: 'database', status: 'failed', detail }];
  }
}

const remedy = 'run `npm run orderly -- migrate` with the same DATABASE_URL first.';

// Why this release must not run on the database, as one sentence; null where it may.
export async function schemaMistake(
  database: Database,
  subscribed: readonly Subscribed[],
  use: Use = 'writes',
): Promise<string | null> {
  const mistake = await surroundingsMistake(database, use);
  if (mistake !== null) return mistake;
  const version = await schemaVersion(database);
  if (version < expectedVersion()) {
    return `The database is at schema version ${version}, this release needs ${expectedVersion()}: ${remedy}`;
  }
  const lacking = use === 'writes' ? await rightsMistake(database) : null;
  if (lacking !== null) return lacking;
  // Without its row in `subscriptions` a consumer's jobs would not be created.
  const missing = await missingSubscription(database.query, subscribed);
  if (missing !== null) return `The subscription ${missing} is not in the database: ${remedy}`;
  const rows = await database.query<{ highest: number | null }>(
    `/* check-positions */ SELECT (SELECT max(p.position) FROM (SELECT max(position) FROM events UNION ALL SELECT max(read_to) FROM cursors) AS p(position),
                     events_position AS s
              WHERE p.position > CASE WHEN s.is_called THEN s.last_value ELSE s.last_value - 1 END) AS highest`,
  );
  // New events would get positions that every reader has passed. Logical replication copies no sequences.
  const highest = rows[0]?.highest ?? null;
  if (highest !== null) {
    return (
      'The sequence events_position is behind the events, as after logical replication or a partial restore: with ' +
      `everything stopped, run SELECT setval('events_position', ${highest}); on the database, then start again.`
    );
  }
  return null;
}
