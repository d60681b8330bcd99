// What is remembered of a server between two commands: one small file in its directory.
//
// Promises: a reader sees a whole record or none, for the file is replaced at once; a file that cannot be
// read counts as none. The record outlives a stop, so that an address which a shell still has in its
// environment is known as that of our own server.

import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Life } from './process.ts';

export type Run =
  | ({ readonly via: 'package' } & Life)
  | { readonly via: 'docker'; readonly container: string; readonly volume: string };

export type ServerRecord = {
  readonly address: string;
  readonly port: number;
  // The start of the machine at which this was written; see `bootOf`.
  readonly boot: string;
  // Null after a stop. A run whose process is gone was killed.
  readonly run: Run | null;
};

export function readRecord(directory: string): ServerRecord | null {
  try {
    const record = JSON.parse(readFileSync(fileIn(directory), 'utf8')) as ServerRecord;
    return typeof record.address === 'string' && typeof record.port === 'number' ? record : null;
  } catch {
    return null;
  }
}

export function writeRecord(directory: string, record: ServerRecord): void {
  mkdirSync(directory, { recursive: true });
  const next = `${fileIn(directory)}.next`;
  // The address may hold a password.
  writeFileSync(next, `${JSON.stringify(record, null, 1)}\n`, { mode: 0o600 });
  renameSync(next, fileIn(directory));
}

// The password of the server's data: made once, and kept beside it.
export function passwordIn(directory: string, make: () => string): string {
  const file = join(directory, 'password');
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  const password = make();
  mkdirSync(directory, { recursive: true });
  writeFileSync(`${file}.next`, password, { mode: 0o600 });
  renameSync(`${file}.next`, file);
  return password;
}

function fileIn(directory: string): string {
  return join(directory, 'server.json');
}
