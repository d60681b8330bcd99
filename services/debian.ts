// Packages of Debian, fetched and unpacked into a folder: nothing is installed, no service starts.
//
// Promises: throws CommandError where there is no apt-get, or where it fails. Relies on apt's lists of packages; root
// fetches them where a bare machine has none.

import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { CommandError, runCommand } from './command.ts';

// Packages of a few megabytes, over a slow line.
const fetchTimeoutMs = 300_000;

// With what it depends on, as far as the machine does not have it; or the package alone.
export async function unpackDebian(
  name: string,
  into: string,
  { isAlone }: { readonly isAlone: boolean },
): Promise<void> {
  const archives = join(into, 'packages');
  await mkdir(join(archives, 'partial'), { recursive: true });
  const places = ['-o', `Dir::Cache::archives=${archives}`, '-o', 'Debug::NoLocking=true'];
  const fetch = isAlone
    ? ['download', name]
    : ['install', '--yes', '--download-only', '--no-install-recommends', ...places, name];
  const options = { cwd: archives, timeoutMs: fetchTimeoutMs };
  const isRoot = process.getuid?.() === 0;
  await runCommand('apt-get', fetch, options).catch(async (error: unknown) => {
    if (!isRoot || (error instanceof CommandError && error.isMissing)) throw error;
    await runCommand('apt-get', ['update'], options);
    await runCommand('apt-get', fetch, options);
  });
  for (const file of (await readdir(archives)).filter((one) => one.endsWith('.deb')))
    await runCommand('dpkg', ['-x', join(archives, file), into], options);
  await rm(archives, { recursive: true });
}
