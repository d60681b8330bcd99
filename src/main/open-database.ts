// The database that the settings name, ready for this release: a PostgreSQL server, or the embedded one.
//
// Promises: a server that cannot be used or has an older schema is one sentence saying what to do; the
// embedded database is brought to this release's schema here. Its engine is loaded only when it is used:
// a process on a server keeps those megabytes.

import type { Log, System } from '../engine/ports.ts';
import { subscriptions, typesOf } from '../flow/subscriptions.ts';
import { connectServer, type Database } from '../io/postgres/database.ts';
import { schemaMistake } from '../io/postgres/health.ts';
import { endAllLeases } from '../io/postgres/leases.ts';
import { migrate } from '../io/postgres/migrate.ts';
import type { Use } from '../io/postgres/surroundings.ts';
import type { Config } from './config.ts';
import { cannotUse, databaseName } from './database-name.ts';
import { StartError } from './start-error.ts';

export const subscribedTypes = subscriptions.flatMap((row) =>
  typesOf(row).map((type) => ({ consumer: row.consumer, type, start: row.start })),
);

// Connections that requests may take at once, but for the placing of orders: half of them, so that accepting and
// working go on whatever is asked. The embedded database has one connection, which takes them in turns. Who searches
// elsewhere may be kept waiting there, and has a part of its own.
export function readsMaxOf({ database: { url, poolMax }, search: { engine } }: Config) {
  const half = url === null ? 1 : Math.max(1, poolMax >> 1);
  if (engine === 'postgres') return { readsMax: half, searchesMax: null };
  const searchesMax = Math.max(1, half >> 1);
  return { readsMax: Math.max(1, half - searchesMax), searchesMax };
}

// With a `system`, outages of the server are told to the log.
export async function openDatabase(
  config: Config,
  { system, log }: { readonly system: System | null; readonly log: Log },
  use: Use = 'writes',
): Promise<Database> {
  const { url, poolMax } = config.database;
  if (url === null) {
    const database = await openEmbedded(config.dataDir, log);
    try {
      await migrate(database, subscribedTypes);
      await endAllLeases(database.query);
      return database;
    } catch (error) {
      await database.close();
      throw cannotUse(error, { url, dataDir: config.dataDir });
    }
  }
  const database = connectServer({
    ...{ url, poolMax, log, mayBeReadOnly: use === 'reads' },
    ...(system === null ? {} : { watched: { name: databaseName({ url, dataDir: config.dataDir }), system } }),
  });
  const mistake = await schemaMistake(database, subscribedTypes, use).catch(async (error) => {
    await database.close();
    throw cannotUse(error, { url, dataDir: config.dataDir });
  });
  if (mistake === null) return database;
  await database.close();
  throw new StartError(mistake);
}

export async function openEmbedded(directory: string, log: Log): Promise<Database> {
  const embedded = await import('../io/postgres/embedded.ts');
  return embedded.openEmbedded({ directory, log }).catch((error) => {
    throw new StartError(
      `The embedded database in ${directory} cannot be opened (${reasonOf(error)}): see that its disk has space and that ` +
        'its files are whole, or set ORDERLY_DATA_DIR to another directory.',
    );
  });
}

// What its file system throws is no Error, but a number of WASI.
const noSpace = 51;
function reasonOf(error: unknown): string {
  const { message, errno } = (error ?? {}) as { message?: string; errno?: number };
  if (errno === noSpace) return 'no space is left';
  return message === undefined ? `error ${errno ?? 'unknown'}` : message.replaceAll(/\s+/g, ' ').trim().slice(0, 200);
}
