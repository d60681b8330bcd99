// The embedded database: PGlite, a whole PostgreSQL in this process, behind the same pool interface.
//
// Promises: committed work survives `kill -9` of the process; a power loss is not promised against, for
// PGlite runs without fsync. Relies on its caller to hold the directory: two processes would corrupt it.
// One connection: a transaction keeps it, so nothing may be run on the pool from inside a transaction.
// It computes in this thread, so requests are let in between two statements and gather for the next
// flush (else each flush carried a single order: 30 orders/s instead of hundreds).

import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { PGlite } from '@electric-sql/pglite';
import { createPgConfig } from '@electric-sql/pglite/node-postgres';
import pg from 'pg';
import type { Log } from '../../engine/ports.ts';
import { createDatabase, type Database, types } from './database.ts';

// Who has waited this long for the connection is told so; a statement takes milliseconds, a wide search some 0.5 s.
const turnMsMax = 10_000;

// PostgreSQL's own default of 128 MB would be memory of this process; the system caches the files anyway.
const sharedBuffers = '16MB';

export async function openEmbedded(options: { directory: string; log: Log; turnMs?: number }): Promise<Database> {
  const files = join(options.directory, 'postgres');
  const pglite = await PGlite.create({
    dataDir: files,
    startParams: [...PGlite.defaultStartParams, '-c', `shared_buffers=${sharedBuffers}`],
  });
  const pool = new pg.Pool({
    ...createPgConfig(pglite),
    max: 1,
    connectionTimeoutMillis: options.turnMs ?? turnMsMax,
    types,
  } as unknown as pg.PoolConfig);
  return createDatabase({ pool, log: options.log, turn: setImmediate, onClose: () => pglite.close() });
}
