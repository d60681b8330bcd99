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

// It is in use, is none, may not be written to, or has no space; its message says which, and what to do.
export class DirectoryError extends Error {}

// Takes the directory for this process; answers how to give it back.
export function lockDirectory(directory: string): () => void {
  return orDirectoryError(`The data directory ${directory}`, () => {
    makePrivateDirectory(directory, kept);
    return lock(directory);
  });
}

// `what` lies in a data directory; whatever keeps it from being opened is told in one sentence.
export function orDirectoryError<T>(what: string, open: () => T): T {
  try {
    return open();
  } catch (error) {
    if (error instanceof DirectoryError) throw error;
    throw new DirectoryError(
      `${what} ${troubleWith(error)}: set ORDERLY_DATA_DIR to a directory that can be written to.`,
      { cause: error },
    );
  }
}

function lock(directory: string): () => void {
  const ownerFile = join(directory, 'owner.pid');
  const lock = new DatabaseSync(join(directory, 'lock.sqlite'), { timeout: 0 });
  try {
    // SQLite's exclusive lock is a lock of the operating system on an open file.
    lock.exec('PRAGMA journal_mode = DELETE; BEGIN EXCLUSIVE');
  } catch (error) {
    lock.close();
    if (!isBusy(error)) throw error;
    const owner = readOwner(ownerFile);
    throw new DirectoryError(
      `The data directory ${directory} is in use by another Orderly${owner ? ` (process ${owner})` : ''}: ` +
        'stop that one, or set ORDERLY_DATA_DIR to another directory.',
    );
  }
  writeFileSync(ownerFile, `${process.pid}\n`, { mode: 0o600 });
  return () => lock.close();
}

// SQLITE_BUSY and SQLITE_LOCKED.
const isBusy = (error: unknown) => [5, 6].includes(((error as { errcode?: number }).errcode ?? 0) & 0xff);

function troubleWith(error: unknown): string {
  const { code = '', message } = error as NodeJS.ErrnoException;
  if (['EEXIST', 'ENOTDIR'].includes(code)) return 'is no directory, or a link that leads nowhere';
  if (['EACCES', 'EPERM', 'EROFS'].includes(code)) return `may not be written to (${code})`;
  if (['ENOSPC', 'EDQUOT'].includes(code)) return `has no space left (${code})`;
  if (code === 'ENOENT') return 'cannot be made there (ENOENT)';
  return `cannot be used (${message})`;
}

function readOwner(file: string): string | null {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch {
    return null;
  }
}
