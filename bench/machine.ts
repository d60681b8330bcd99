// What the numbers were measured on: a number without its machine says nothing.
//
// Promises: nothing that identifies the machine (no host name, no path); the settings of PostgreSQL are
// those that the server itself reports.

import { execFileSync } from 'node:child_process';
import { closeSync, fdatasyncSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { availableParallelism, cpus, loadavg, platform, release, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import type { Rows } from './subject.ts';

export type Machine = {
  readonly commit: string;
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGb: number;
  readonly system: string;
  readonly node: string;
  // The median of writing 8 KiB and waiting for the disk, where the databases lie.
  readonly diskSyncMs: number;
  // Work of others in the minute before, in cores.
  readonly loadBefore: number;
};

export function describeMachine(): Machine {
  return {
    commit: commit(),
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: availableParallelism(),
    memoryGb: Math.round(totalmem() / 2 ** 30),
    system: `${platform()} ${release()}`,
    node: process.versions.node,
    diskSyncMs: diskSyncMs(),
    loadBefore: loadavg()[0] ?? 0,
  };
}

const told = [
  'server_version',
  'fsync',
  'synchronous_commit',
  'full_page_writes',
  'wal_sync_method',
  'shared_buffers',
  'max_wal_size',
  'checkpoint_timeout',
  'autovacuum',
];

export async function describePostgres(sql: (statement: string, values: readonly unknown[]) => Promise<Rows>) {
  const rows = await sql(`SELECT name, current_setting(name) AS value FROM pg_settings WHERE name = ANY($1)`, [told]);
  const values = new Map(rows.map(({ name, value }) => [name, String(value)]));
  return Object.fromEntries(told.map((name) => [name, values.get(name) ?? 'unknown']));
}

function commit(): string {
  try {
    const head = execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8', stdio: 'pipe' }).trim();
    const isChanged =
      execFileSync('git', ['status', '--porcelain', '-uno'], { encoding: 'utf8', stdio: 'pipe' }) !== '';
    return isChanged ? `${head} with changes` : head;
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
