// The role `migrate`: brings a PostgreSQL server's schema to this release; the embedded database does
// that by itself at every start, and is brought along here too when the product is stopped.
//
// Promises: running it twice changes nothing; a server that cannot be reached is one sentence.

import type { Log } from '../engine/ports.ts';
import { lockDirectory } from '../io/directory-lock.ts';
import { connectServer } from '../io/postgres/database.ts';
import { migrate } from '../io/postgres/migrate.ts';
import { surroundingsMistake } from '../io/postgres/surroundings.ts';
import type { Config } from './config.ts';
import { cannotUse, databaseName } from './database-name.ts';
import { openEmbedded, subscribedTypes } from './open-database.ts';
import { StartError } from './start-error.ts';

export async function runMigrate(config: Config, log: Log, say: (text: string) => void): Promise<void> {
  const url = config.database.migrateUrl;
  const named = { url, dataDir: config.dataDir };
  const unlock = url === null ? lockDirectory(config.dataDir) : () => {};
  try {
    const database =
      url === null
        ? await openEmbedded(config.dataDir, log)
        : connectServer({ url, poolMax: 1, log, waitsForAnswers: true });
    try {
      const mistake = await surroundingsMistake(database, 'writes');
      if (mistake !== null) throw new StartError(mistake);
      const version = await migrate(database, subscribedTypes);
      say(`The schema of ${databaseName(named)} is at version ${version}.`);
    } catch (error) {
      throw cannotUse(error, named, config.database.migrateSetting);
    } finally {
      await database.close();
    }
  } finally {
    unlock();
  }
}
