// The database that the settings name, ready for this release: a PostgreSQL server, or the embedded one.
//
// Promises: a server that cannot be used or has an older schema is one sentence saying what to do; the
// embedded database is brought to this release's schema here. Its engine is loaded only when it is used:
// a process on a server keeps those megabytes.

import type { Log } from '../engine/ports.ts';
import { subscriptions, typesOf } from '../flow/subscriptions.ts';
import { connectServer, type Database } from '../io/postgres/database.ts';
import { schemaMistake } from '../io/postgres/health.ts';
import { endAllLeases } from '../io/postgres/jobs.ts';
import { migrate } from '../io/postgres/migrate.ts';
import type { Config } from './config.ts';
import { StartError } from './start-error.ts';

export const subscribedTypes = subscriptions.flatMap((row) =>
  typesOf(row).map((type) => ({ consumer: row.consumer, type, start: row.start })),
);

export async function openDatabase(config: Config, log: Log): Promise<Database> {
  const { url, poolMax } = config.database;
  if (url === null) {
    const database = await openEmbedded(config.dataDir, log);
    await migrate(database, subscribedTypes);
    await endAllLeases(database.query);
    return database;
  }
  const database = connectServer({ url, poolMax, log });
  const mistake = await schemaMistake(database, subscribedTypes).catch(async (error) => {
    await database.close();
    throw new StartError(`The database at DATABASE_URL cannot be used: ${reasonOf(error)}.`);
  });
  if (mistake === null) return database;
  await database.close();
  throw new StartError(mistake);
}

export async function openEmbedded(directory: string, log: Log): Promise<Database> {
  const embedded = await import('../io/postgres/embedded.ts');
  return embedded.openEmbedded({ directory, log });
}

function reasonOf(error: unknown): string {
  const cause = (error as { cause?: unknown }).cause ?? error;
  if (cause instanceof AggregateError) return reasonOf(cause.errors[0]);
  return cause instanceof Error ? cause.message : String(cause);
}
