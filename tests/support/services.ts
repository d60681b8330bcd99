// The real servers for a test under tests/services: their addresses, and the power to stop, kill and
// restart one of them by name.
//
// Promises: what is asked for is started when it does not run, and is ready when the promise resolves; a
// server comes back under the same address with its data. `npm run test:services` ends afterwards what it
// started; a test file that is run by itself leaves the servers running.
// Relies on tests that run one after the other: everybody has the same servers.

import { dirname, join } from 'node:path';
import { createFleet } from '../../services/fleet.ts';
import { settingsOf } from '../../services/page.ts';
import type { ServerName } from '../../services/server.ts';

export const servicesDirectory = join(dirname(dirname(import.meta.dirname)), '.orderly/services');

const fleet = createFleet({
  directory: servicesDirectory,
  environment: process.env,
  say: (name, text) => void process.stderr.write(`${name} ${text}\n`),
});

// The address, as the product's setting takes it. Harmless when the server runs.
export async function start(name: ServerName): Promise<string> {
  const { address } = await fleet.start(name);
  return address ?? '';
}

// Clean, as an operator does it; its clients are told.
export async function stop(name: ServerName): Promise<void> {
  assertOurs(name);
  await fleet.stop(name);
}

// SIGKILL: nobody is told, nothing is flushed.
export async function kill(name: ServerName): Promise<void> {
  assertOurs(name);
  await fleet.kill(name);
}

export async function restart(name: ServerName): Promise<string> {
  await stop(name);
  return await start(name);
}

// The settings that lead a process of the product, or a client, to these servers.
export async function settingsFor(...names: readonly ServerName[]): Promise<Record<string, string>> {
  return settingsOf(await Promise.all(names.map(fleet.start)), process.env);
}

function assertOurs(name: ServerName): void {
  if (fleet.isForeign(name))
    throw new Error(`${name} is somebody else's server: a test may not end it; unset its setting`);
}
