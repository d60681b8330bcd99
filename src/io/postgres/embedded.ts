// The embedded database: PGlite, a whole PostgreSQL in this process, behind the same pool interface.
//
// Promises: committed work survives `kill -9` of the process; a power loss is not promised against,
// because PGlite runs without fsync. Relies on its caller to hold the directory (directory-lock.ts):
// two processes would corrupt the files.
// One connection: a transaction keeps it, everybody else waits, so no statement may be run on the pool
// from inside a transaction.

import { join } from 'node:path';
import { PGlite } from '@electric-sql/pglite';
import { createPgConfig } from '@electric-sql/pglite/node-postgres';
import pg from 'pg';
import type { Log } from '../../bus/ports.ts';
import { createDatabase, type Database, types } from './database.ts';

export async function openEmbedded(options: { directory: string; log: Log }): Promise<Database> {
  const files = join(options.directory, 'postgres');
  const pglite = await PGlite.create(files);
  const pool = new pg.Pool({ ...createPgConfig(pglite), max: 1, types } as unknown as pg.PoolConfig);
  return createDatabase({ pool, log: options.log, pipelines: false, onClose: () => pglite.close() });
}
