// One process at a time in a data directory: two would corrupt the embedded database and the ledger.
//
// Promises: nobody else on the machine may look into it. The lock is the kernel's, on a file that this process
// holds open, so it ends with the process however that dies: it is never stale and never stolen from a living
// one. The file beside it with the owner's process id is only for the sentence that refuses the second.
// Relies on SQLite's exclusive lock, which is one of the operating system (not of a network share).

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { makePrivateDirectory } from './private-directory.ts';

// What lies in a data directory.
const kept = ['lock.sqlite', 'owner.pid', 'postgres', 'partners'];

export class DirectoryInUseError extends Error {}

// Takes the directory for this process; answers how to give it back.
export function lockDirectory(directory: string): () => void {
  makePrivateDirectory(directory, kept);
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
  writeFileSync(ownerFile, `${process.pid}\n`, { mode: 0o600 });
  return () => lock.close();
}

function readOwner(file: string): string | null {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch {
    return null;
  }
}
