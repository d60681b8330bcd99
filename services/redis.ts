// Redis: the machine's own binary, else that of the Debian package, unpacked beside the other downloads.
//
// Promises: append-only file with a sync each second, and no eviction: a full server refuses and never
// forgets a job. Nothing is installed into the machine, so that no second Redis starts by itself.

import { existsSync } from 'node:fs';
import { mkdir, readdir, rename, rm } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { Redis } from 'ioredis';
import { StartError } from '../src/main/start-error.ts';
import { CommandError } from './command.ts';
import { unpackDebian } from './debian.ts';
import type { Launch, Place, Server } from './server.ts';
import { inTurn } from './turns.ts';

const requestTimeoutMs = 3_000;
const rules = ['--appendonly', 'yes', '--appendfsync', 'everysec', '--save', '', '--maxmemory-policy', 'noeviction'];

export const redis: Server = {
  name: 'redis',
  title: 'Redis',
  setting: 'REDIS_URL',
  port: 6379,
  spaceMb: 200,
  addressOf: (port) => `redis://127.0.0.1:${port}`,
  check,
  fromPackages,
  fromDocker: async () => ({
    image: 'redis:8.2.3',
    innerPort: 6379,
    volume: '/data',
    args: ['redis-server', '--dir', '/data', '--protected-mode', 'no', ...rules],
  }),
};

async function check(address: string, depth: 'read' | 'write'): Promise<void> {
  const client = new Redis(address, {
    lazyConnect: true,
    connectTimeout: requestTimeoutMs,
    commandTimeout: requestTimeoutMs,
    maxRetriesPerRequest: 0,
    retryStrategy: null,
  });
  // The reason arrives with the request as well.
  client.on('error', () => undefined);
  try {
    await client.connect();
    // Refused while the file is replayed after a start.
    await client.ping();
    if (depth === 'read') return;
    await client.set('orderly:check', 'check', 'PX', requestTimeoutMs);
    await client.del('orderly:check');
  } finally {
    client.disconnect();
  }
}

async function fromPackages(place: Place): Promise<Launch> {
  const { command, env } = onPath() ?? (await fromDebian(place));
  const data = join(place.directory, 'data');
  await mkdir(data, { recursive: true });
  const address = ['--bind', '127.0.0.1', '--port', String(place.port), '--protected-mode', 'yes'];
  return { command, args: [...address, '--dir', data, '--daemonize', 'no', ...rules], cwd: data, env };
}

type Binary = { readonly command: string; readonly env: Record<string, string> };

function onPath(): Binary | null {
  const folders = (process.env.PATH ?? '').split(delimiter);
  const files = ['redis-server', 'valkey-server'].flatMap((name) => folders.map((folder) => join(folder, name)));
  const command = files.find((file) => existsSync(file));
  return command === undefined ? null : { command, env: { LC_ALL: 'C' } };
}

// Packages are only fetched and unpacked: to install them would start a Redis of the system's own.
async function fromDebian(place: Place): Promise<Binary> {
  const directory = join(place.downloads, 'redis');
  const waiting = () => place.say('waits for another fetch of Redis');
  await inTurn(join(place.downloads, 'redis.lock'), waiting, async () => {
    if (existsSync(directory)) return;
    place.say('fetches the package redis-server with apt-get, about 2 MB');
    const unfinished = `${directory}.unfinished`;
    await rm(unfinished, { recursive: true, force: true });
    try {
      await unpackDebian('redis-server', unfinished, { isAlone: false });
    } catch (error) {
      if (!(error instanceof CommandError)) throw error;
      const tried = error.isMissing ? 'there is no apt-get to fetch it' : `it could not be fetched (${error.message})`;
      throw new StartError(
        `Redis is missing: redis-server is not on the PATH, and ${tried}. Install Redis, or start a Docker engine.`,
      );
    }
    if (!existsSync(join(unfinished, 'usr/bin/redis-server'))) {
      throw new StartError(
        'Redis is missing: its package is installed and redis-server is not on the PATH: add its folder there.',
      );
    }
    await rename(unfinished, directory);
  });
  const libraries = join(directory, 'usr/lib');
  const folders = existsSync(libraries) ? await readdir(libraries) : [];
  const paths = [
    libraries,
    ...folders.filter((name) => name.includes('linux-gnu')).map((name) => join(libraries, name)),
  ];
  const env = { LC_ALL: 'C', LD_LIBRARY_PATH: paths.join(delimiter) };
  return { command: join(directory, 'usr/bin/redis-server'), env };
}
