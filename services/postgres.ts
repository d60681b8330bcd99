// PostgreSQL: the binaries that npm has brought with the development packages.
//
// Promises: listens on loopback only, under a password made once and kept with the data; fsync is on. As
// root the server runs as `nobody`; where that user may not enter the folder of the checkout, the data
// lies in the system's temporary folder, and a sentence says so.

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { chmod, chown, mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import { StartError } from '../src/main/start-error.ts';
import { type Identity, identityOf, reachableBinaries } from '../tests/support/postgres-binaries.ts';
import type { Launch, Place, Server } from './server.ts';

const user = 'orderly';
const database = 'orderly';
const requestTimeoutMs = 4_000;
const initTimeoutMs = 60_000;
// Several processes of the product with a pool each, and tests beside them.
const settings = { listen_addresses: '127.0.0.1', unix_socket_directories: '', max_connections: '200' };

export const postgres: Server = {
  name: 'postgres',
  title: 'PostgreSQL 18',
  setting: 'DATABASE_URL',
  port: 5432,
  spaceMb: 500,
  hasPassword: true,
  addressOf: (port, password) => `postgres://${user}:${password}@127.0.0.1:${port}/${database}`,
  check,
  fromPackages,
  fromDocker: async ({ password }) => ({
    image: 'postgres:18.4',
    innerPort: 5432,
    volume: '/var/lib/postgresql',
    env: { POSTGRES_USER: user, POSTGRES_DB: database, POSTGRES_PASSWORD: password },
    args: ['postgres', '-c', `max_connections=${settings.max_connections}`],
  }),
};

async function check(connectionString: string, depth: 'read' | 'write'): Promise<void> {
  const client = new Client({
    connectionString,
    connectionTimeoutMillis: requestTimeoutMs,
    query_timeout: requestTimeoutMs,
  });
  // A connection that breaks between two requests says so here; the next request says it too.
  client.on('error', () => undefined);
  try {
    await client.connect();
    await client.query(depth === 'read' ? 'SELECT 1' : 'CREATE TEMPORARY TABLE orderly_check (id int)');
  } finally {
    await client.end();
  }
}

async function fromPackages(place: Place): Promise<Launch> {
  const identity = await identityOf();
  const directory = await reachableDirectory(place, identity);
  const binaries = await reachableBinaries(directory, identity);
  // The server wants a fixed locale (LC_ALL; macOS refuses to start without) and nothing of ours.
  const surroundings = { ...identity, cwd: directory, env: { LC_ALL: 'C', TZ: 'UTC' } };
  const data = join(directory, 'data');
  if (!existsSync(data)) {
    place.say('makes a new database');
    // Under its name only when it is complete: what died in the middle is done anew.
    const unfinished = join(directory, 'data.unfinished');
    const passwordFile = join(directory, 'password.once');
    await rm(unfinished, { recursive: true, force: true });
    await mkdir(unfinished, { mode: 0o700 });
    await writeFile(passwordFile, place.password, { mode: 0o600 });
    for (const path of [unfinished, passwordFile]) {
      if (identity !== null) await chown(path, identity.uid, identity.gid);
    }
    const locale = ['--encoding=UTF8', '--locale=C', '--locale-provider=builtin', '--builtin-locale=C.UTF-8'];
    const options = [`--username=${user}`, `--pwfile=${passwordFile}`, '--auth=scram-sha-256', '--no-sync'];
    finish(binaries.initdb, ['-D', unfinished, ...locale, ...options], surroundings);
    const statement = `CREATE DATABASE ${database};\n`;
    finish(binaries.postgres, ['--single', '-D', unfinished, 'postgres'], { ...surroundings, input: statement });
    await rm(passwordFile);
    await rename(unfinished, data);
  }
  // The server takes any process under the number in this file for its predecessor.
  if (!place.mayHaveOrphans) await rm(join(data, 'postmaster.pid'), { force: true });
  const flags = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  const { cwd, env } = surroundings;
  return {
    command: binaries.postgres,
    args: ['-D', data, '-p', String(place.port), ...flags],
    cwd,
    env,
    ...(identity === null ? {} : { identity }),
    // Fast: SIGTERM would wait until the last client has left.
    stopSignal: 'SIGINT',
    // Backends of a killed server live on for a moment and hold its memory.
    isPassing: (log) => log.includes('is still in use') || log.includes('already exists'),
  };
}

// The folder in which the server's user can work: its own, or one that it can enter.
async function reachableDirectory(place: Place, identity: Identity | null): Promise<string> {
  await mkdir(place.directory, { recursive: true });
  if (identity === null) return place.directory;
  await chmod(place.directory, 0o755);
  const canEnter = (folder: string) =>
    spawnSync('/bin/ls', ['-d', `${folder}/.`], { ...identity, cwd: '/' }).status === 0;
  if (canEnter(place.directory)) return place.directory;
  // The password belongs to the data: where it is lost, the data is not taken up again.
  const name = createHash('sha256').update(place.directory).update(place.password).digest('hex').slice(0, 12);
  const elsewhere = join(tmpdir(), `orderly-services-${name}`);
  await mkdir(elsewhere, { recursive: true });
  await chmod(elsewhere, 0o755);
  place.say(`runs as nobody, who may not enter ${place.directory}: its data is in ${elsewhere}`);
  return elsewhere;
}

type Surroundings = { readonly cwd: string; readonly env: Record<string, string>; readonly input?: string };

function finish(command: string, args: readonly string[], surroundings: Surroundings & Partial<Identity>): void {
  const { status, stderr, error } = spawnSync(command, args, {
    ...surroundings,
    encoding: 'utf8',
    timeout: initTimeoutMs,
  });
  if (error !== undefined) throw error;
  if (status === 0) return;
  throw new StartError(
    `PostgreSQL cannot make its database in ${surroundings.cwd}: ${stderr.trim().split('\n').at(-1)}`,
  );
}
