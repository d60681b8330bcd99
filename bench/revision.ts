// Another revision of this repository, ready to be started: a clone under the temporary directory with the
// packages of its own lock file.
//
// Promises: the work tree and the references of this repository stay as they are; packages are shared only
// with a revision that has the same lock file. `close` removes all of it.

import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, realpathSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { root } from './contender.ts';

const run = promisify(execFile);
// An installation on a slow line.
const installMs = 600_000;

export type Revision = { readonly directory: string; readonly commit: string; readonly close: () => void };

export async function checkOut(name: string, say: (text: string) => void): Promise<Revision> {
  const commit = await git(root, 'rev-parse', '--verify', '--quiet', '--end-of-options', `${name}^{commit}`).catch(
    () => {
      throw new Error(`There is no revision "${name}" here: name a commit, a branch or a tag of this repository.`);
    },
  );
  const directory = mkdtempSync(join(tmpdir(), 'orderly-revision-'));
  const close = () => rmSync(directory, { recursive: true, force: true });
  try {
    await git(root, 'clone', '--quiet', '--shared', '--no-checkout', root, directory);
    await git(directory, 'checkout', '--quiet', '--detach', commit);
    const packages = join(root, 'node_modules');
    if (existsSync(packages) && lockOf(directory) === lockOf(root)) {
      symlinkSync(realpathSync(packages), join(directory, 'node_modules'));
    } else {
      say(`installs the packages of ${name}`);
      const options = ['--omit=dev', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
      // The npm that runs this script tells its children where it works, by variables of its own.
      const env = Object.fromEntries(Object.entries(process.env).filter(([key]) => key !== 'npm_config_local_prefix'));
      await run('npm', ['ci', ...options], { cwd: directory, env, timeout: installMs });
    }
    return { directory, commit: commit.slice(0, 7), close };
  } catch (error) {
    close();
    throw error;
  }
}

function lockOf(directory: string): string {
  return readFileSync(join(directory, 'package-lock.json'), 'utf8');
}

async function git(directory: string, ...args: readonly string[]): Promise<string> {
  return (await run('git', ['-C', directory, ...args])).stdout.trim();
}
