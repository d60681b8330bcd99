// The peers as contenders: each a script in bench/peers/, with packages of its own that are installed when they
// are missing.
//
// Promises: the packages are those of bench/peers/package-lock.json; the product depends on none of them.

import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { openServer } from './bus-servers.ts';
import type { Contender } from './contender.ts';
import { openRestate } from './restate-server.ts';

export const peerNames = ['pg-boss', 'graphile-worker', 'dbos', 'restate', 'bullmq', 'floor'] as const;
export type PeerName = (typeof peerNames)[number];

const endedOnce = `o.status = 'PROCESSED' AND o.notified AND (SELECT count(*) = 3 FROM effects e WHERE e.order_id = o.id)`;
const floorEndedOnce = `o.status = 'PROCESSED' AND (SELECT count(*) = 3 FROM events e WHERE e.order_id = o.id)
  AND (SELECT count(*) = 1 FROM attempts a WHERE a.order_id = o.id)`;
const directory = join(import.meta.dirname, 'peers');
const installMs = 600_000;

export async function openPeers(
  names: readonly PeerName[],
  settings: Readonly<Record<string, string>>,
  say: (text: string) => void,
): Promise<{ readonly contenders: readonly Contender[]; readonly close: () => Promise<void> }> {
  // The floor and BullMQ need nothing that the product does not have.
  if (names.some((name) => name !== 'floor' && name !== 'bullmq')) await install(say);
  const redis = names.includes('bullmq') ? await openServer('redis') : null;
  const journal = names.includes('restate') ? await openRestate(join(directory, 'node_modules')) : null;
  const serverOf = (name: PeerName) => ({ bullmq: redis, restate: journal })[name as string] ?? null;
  const contenders = names.map((name) => ({
    name,
    directory,
    prepare: null,
    start: ['--max-semi-space-size=8', `${name}.ts`],
    settings: { ...settings, ...serverOf(name)?.settings },
    besides: serverOf(name)?.pids ?? (() => []),
    reset: serverOf(name)?.wipe ?? null,
    isSnapshotHeld: false,
    hasEmbedded: false,
    readyPath: '/metrics',
    finished: '^orders_finished_total (\\d+)',
    endedOnce: name === 'floor' ? floorEndedOnce : endedOnce,
  }));
  return { contenders, close: async () => void (await Promise.all([redis?.close(), journal?.close()])) };
}

// What stands in the lock file is what npm has recorded as installed.
async function install(say: (text: string) => void): Promise<void> {
  const packagesOf = (file: string): Record<string, { version?: string; optional?: boolean }> =>
    existsSync(join(directory, file)) ? JSON.parse(readFileSync(join(directory, file), 'utf8')).packages : {};
  const installed = packagesOf('node_modules/.package-lock.json');
  const locked = Object.entries(packagesOf('package-lock.json')).filter(
    ([path, { optional }]) => path !== '' && !optional,
  );
  if (locked.every(([path, { version }]) => installed[path]?.version === version)) return;
  say('installs the packages of the peers');
  const options = ['--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
  const env = Object.fromEntries(Object.entries(process.env).filter(([key]) => key !== 'npm_config_local_prefix'));
  await promisify(execFile)('npm', ['ci', ...options], { cwd: directory, env, timeout: installMs });
}
