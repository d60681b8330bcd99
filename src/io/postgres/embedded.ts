// The embedded database: PGlite, a whole PostgreSQL in this process, behind the same pool interface.
//
// Promises: one process at a time (two would corrupt the files): a lock that the kernel takes back when
// its process dies, so it is never stale and never stolen. Committed work survives `kill -9` of the
// process; a power loss is not promised against, because PGlite runs without fsync.
// One connection: a transaction keeps it, everybody else waits, so no statement may be run on the pool
// from inside a transaction.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { PGlite } from '@electric-sql/pglite';
import { createPgConfig } from '@electric-sql/pglite/node-postgres';
import pg from 'pg';
import type { Log } from '../../bus/ports.ts';
import { createDatabase, type Database, types } from './database.ts';

export class DirectoryInUseError extends Error {}

// Takes the directory for this process; answers how to give it back.
export function lockDirectory(directory: string): () => void {
  mkdirSync(directory, { recursive: true });
  const ownerFile = join(directory, 'owner.pid');
  const lock = new DatabaseSync(join(directory, 'lock.sqlite'), { timeout: 0 });
  try {
    // SQLite's exclusive lock is a lock of the operating system on an open file.
    lock.exec('PRAGMA journal_mode = DELETE; BEGIN EXCLUSIVE');
  } catch {
    lock.close();
    const owner = readOwner(ownerFile);
    throw new DirectoryInUseError(
      `The data directory ${directory} is in use by another Orderly${owner ? ` (process ${owner})` : ''}: ` +
        'stop that one, or set ORDERLY_DATA_DIR to another directory.',
    );
  }
  writeFileSync(ownerFile, `${process.pid}\n`);
  return () => lock.close();
}

function readOwner(file: string): string | null {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch {
    return null;
  }
}

export async function openEmbedded(options: { directory: string; log: Log }): Promise<Database> {
  const files = join(options.directory, 'postgres');
  const pglite = await PGlite.create(files);
  const pool = new pg.Pool({ ...createPgConfig(pglite), max: 1, types } as unknown as pg.PoolConfig);
  return createDatabase({ pool, log: options.log, pipelines: false, onClose: () => pglite.close() });
}
