// What the numbers were measured on: a number without its machine says nothing.
//
// Promises: nothing that identifies the machine (no host name, no path).

import { execFileSync } from 'node:child_process';
import { closeSync, fdatasyncSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { availableParallelism, cpus, loadavg, platform, release, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';

export type Machine = ReturnType<typeof readMachine>;

export function readMachine() {
  return {
    date: new Date().toISOString(),
    commit: commit(),
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: availableParallelism(),
    memoryGb: Math.round(totalmem() / 2 ** 30),
    system: `${platform()} ${release()}`,
    node: process.versions.node,
    // The median of writing 8 KiB and waiting for the disk, where the databases lie.
    diskSyncMs: diskSyncMs(),
    // Work of others in the minute before, in cores.
    loadBefore: loadavg()[0] ?? 0,
  };
}

export function describe(machine: Machine): string {
  const { loadBefore } = machine;
  return [
    `${machine.date.slice(0, 16)}Z, commit ${machine.commit}; ${machine.cores} cores of ${machine.cpu}, ` +
      `${machine.memoryGb} GB, ${machine.system}, Node ${machine.node}; 8 KiB to disk in ${machine.diskSyncMs.toFixed(2)} ms.`,
    'PostgreSQL 18 with fsync; load, contender and database share the cores; partners are simulated in process.',
    ...(loadBefore > 0.5 ? [`Others kept ${loadBefore.toFixed(1)} cores busy in the minute before.`] : []),
  ].join('\n');
}

function commit(): string {
  try {
    const git = (...args: string[]) => execFileSync('git', args, { encoding: 'utf8', stdio: 'pipe' }).trim();
    const head = git('rev-parse', '--short', 'HEAD');
    return git('status', '--porcelain', '-uno') === '' ? head : `${head} with changes`;
  } catch {
    return 'unknown';
  }
}

// On a file system in memory this is near zero, and so is the worth of every number that follows.
function diskSyncMs(): number {
  const directory = mkdtempSync(join(tmpdir(), 'orderly-sync-'));
  const file = openSync(join(directory, 'page'), 'w');
  const page = Buffer.alloc(8192, 1);
  const took = Array.from({ length: 101 }, () => {
    const from = performance.now();
    writeSync(file, page, 0, page.length, 0);
    fdatasyncSync(file);
    return performance.now() - from;
  });
  closeSync(file);
  rmSync(directory, { recursive: true });
  return took.sort((a, b) => a - b)[50] ?? Number.NaN;
}
