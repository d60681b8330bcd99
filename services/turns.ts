// Commands that would do the same thing at the same time take turns, also across processes.
//
// Promises: the lock is the kernel's, on a file that is held open, so it ends with its process however
// that dies; who waits says so once, and can be interrupted.
// Relies on SQLite's exclusive lock, which is one of the operating system.

import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as pause } from 'node:timers/promises';

const pauseMs = 100;

export async function inTurn<T>(file: string, waiting: () => void, act: () => Promise<T>): Promise<T> {
  mkdirSync(dirname(file), { recursive: true });
  let release = tryLock(file);
  if (release === null) waiting();
  while (release === null) {
    await pause(pauseMs);
    release = tryLock(file);
  }
  try {
    return await act();
  } finally {
    release();
  }
}

function tryLock(file: string): (() => void) | null {
  const lock = new DatabaseSync(file, { timeout: 0 });
  try {
    lock.exec('PRAGMA journal_mode = DELETE; BEGIN EXCLUSIVE');
    return () => lock.close();
  } catch (error) {
    lock.close();
    // SQLITE_BUSY, and SQLITE_LOCKED: somebody else is at it. Anything else is a defect of the directory.
    if (![5, 6].includes((error as { errcode?: number }).errcode ?? 0)) throw error;
    return null;
  }
}
