// Directories that nobody else on this machine may look into: orders, mail and addresses lie there.
//
// Promises: what is made here is open to its owner alone, and so is what was there before and is ours; what
// lies within is out of reach of others, whatever its own mode says. A directory that belongs to somebody
// else, or holds other things too, stays as it is: only what is ours in it is closed.

import { chmodSync, mkdirSync, readdirSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';

const ownerOnly = 0o700;
const ownerOnlyFile = 0o600;

// Whatever this process makes from now on is its owner's alone.
export function makeFilesPrivate(): void {
  process.umask(0o077);
}

// `ours`: the names of what we keep in it; null = all of it.
export function makePrivateDirectory(directory: string, ours: readonly string[] | null = null): void {
  makeDirectory(directory);
  const names = ours === null ? [] : readdirSync(directory);
  const isShared = names.some((name) => !isOneOf(name, ours ?? []));
  if (!isShared && isMine(directory)) chmodSync(directory, ownerOnly);
  for (const name of names.filter((one) => isOneOf(one, ours ?? []))) {
    const path = join(directory, name);
    const entry = statSync(path, { throwIfNoEntry: false });
    if (entry && isMine(path)) chmodSync(path, entry.isDirectory() ? ownerOnly : ownerOnlyFile);
  }
}

// One after the other: node's own way never ends where a file system says that it has no such directory (/proc).
function makeDirectory(directory: string): void {
  if (statSync(directory, { throwIfNoEntry: false })?.isDirectory()) return;
  const parent = dirname(directory);
  if (parent !== directory) makeDirectory(parent);
  mkdirSync(directory, { mode: ownerOnly });
}

// SQLite keeps files beside its own, such as `lock.sqlite-journal`.
const isOneOf = (name: string, ours: readonly string[]) =>
  ours.some((one) => name === one || name.startsWith(`${one}-`));

function isMine(path: string): boolean {
  const user = process.getuid?.();
  return user === undefined || statSync(path).uid === user;
}
