// The life of a server under `npm run services`, with PostgreSQL, which npm has brought, and with what
// needs no server: ports that are taken, records that lie, tools that are missing.

import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, mkdtemp, realpath, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { Client } from 'pg';
import { createFleet, type FleetOptions, servers } from '../../services/fleet.ts';
import { endProcess, isAlive, launchProcess } from '../../services/process.ts';
import { readRecord, writeRecord } from '../../services/record.ts';
import type { Place } from '../../services/server.ts';
import { inTurn } from '../../services/turns.ts';
import { StartError } from '../../src/main/start-error.ts';
import { until } from '../support/until.ts';

// Below the ranges from which systems take the ports of outgoing connections.
const portFrom = 20_000;
const portTo = 32_000;

let directory = '';
before(async () => {
  directory = await mkdtemp(join(await realpath(tmpdir()), 'orderly-fleet-'));
});
after(() => rm(directory, { recursive: true, force: true }));

function fleetIn(folder: string, options: Partial<FleetOptions> = {}) {
  const said: string[] = [];
  const say = (_: string, text: string) => void said.push(text);
  return {
    ...createFleet({ directory: join(directory, folder), environment: {}, say, via: 'packages', ...options }),
    said,
  };
}

describe('a server that was started', () => {
  const port = randomInt(portFrom, portTo);
  const ports = { postgres: port };

  it('is the same for whoever starts it at the same time or later, comes back after a kill, and stops', async () => {
    const fleet = fleetIn('life', { ports });
    try {
      const [first, second] = await Promise.all([
        fleet.start('postgres'),
        fleetIn('life', { ports }).start('postgres'),
      ]);
      assert.deepEqual(first, second);
      assert.deepEqual(await fleet.start('postgres'), first);
      assert.deepEqual(await fleet.look('postgres'), first);
      assert.equal(first.how, 'package');
      await query(first.address, 'CREATE TABLE kept AS SELECT 1 AS one');

      assert.equal(await fleet.kill('postgres'), true);
      const dead = await fleet.look('postgres');
      assert.deepEqual([dead.pid, dead.address, dead.why], [null, first.address, 'its process is gone']);
      // No port is named: it comes back where it was.
      const again = await fleetIn('life').start('postgres');
      assert.equal(again.address, first.address);
      assert.notEqual(again.pid, first.pid);
      assert.deepEqual(await query(again.address, 'SELECT one FROM kept'), [{ one: 1 }]);
      assert.equal(await fleet.stop('postgres'), true);
      assert.equal(await fleet.stop('postgres'), false);
      assert.equal((await fleetIn('life').start('postgres')).address, first.address);
    } finally {
      await fleet.stop('postgres');
    }
    assert.equal((await fleet.look('postgres')).how, 'none');
  });

  it('does not move to another port while it runs', async () => {
    const fleet = fleetIn('moving');
    const run = { via: 'package', ...(await launchSleeper('moving')) } as const;
    writeRecord(join(directory, 'moving/redis'), { address: 'redis://127.0.0.1:1', port: 1, boot: '', run });
    const moved = fleetIn('moving', { ports: { redis: 2 } }).start('redis');
    await assert.rejects(moved, (error) => isSentence(error, /^Redis runs on port 1 already: stop it/));
    await fleet.stop('redis');
  });

  it('is ours although the environment has its address, also after a stop', async () => {
    const address = 'redis://127.0.0.1:1';
    writeRecord(join(directory, 'known/redis'), { address, port: 1, boot: '', run: null });
    assert.equal(fleetIn('known', { environment: { REDIS_URL: address } }).isForeign('redis'), false);
    assert.equal(fleetIn('known', { environment: { REDIS_URL: 'redis://elsewhere:1' } }).isForeign('redis'), true);
    assert.equal(fleetIn('known', { environment: { REDIS_URL: '' } }).isForeign('redis'), false);
  });
});

describe('a server that cannot be started', () => {
  it('says who has its port, and how to choose another', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const { port } = other.address() as { port: number };
    const start = fleetIn('taken', { ports: { kafka: port } }).start('kafka');
    await assert.rejects(start, (error) =>
      isSentence(error, /^Port \d+ on 127\.0\.0\.1 is taken by another program, and Apache Kafka .* --port kafka=\d+/),
    );
    other.close();
  });

  it('says that nobody answers where the environment points, without its password', async () => {
    const environment = { DATABASE_URL: 'postgres://me:secret@127.0.0.1:1/mine' };
    const fleet = fleetIn('environment', { environment });
    await assert.rejects(fleet.start('postgres'), (error) =>
      isSentence(error, /^DATABASE_URL is set to postgres:\/\/me:…@127\.0\.0\.1:1\/mine, and no PostgreSQL .* unset/),
    );
    const { how, why } = await fleet.look('postgres');
    assert.equal(how, 'environment');
    assert.match(why ?? '', /ECONNREFUSED/);
    assert.equal(await fleet.stop('postgres'), false);
  });

  it('says which tool is missing', async () => {
    const path = process.env.PATH;
    const javaHome = process.env.JAVA_HOME;
    const empty = join(directory, 'no-tools');
    await mkdir(empty);
    const place: Place = {
      directory: join(empty, 'server'),
      downloads: join(empty, 'downloads'),
      port: 1,
      password: '',
      mayHaveOrphans: false,
      say: () => undefined,
    };
    process.env.PATH = empty;
    delete process.env.JAVA_HOME;
    try {
      await assert.rejects(servers.redis.fromPackages(place), (error) =>
        isSentence(error, /^Redis is missing: .* there is no apt-get .* Install Redis, or start a Docker engine\.$/),
      );
      await assert.rejects(servers.elasticsearch.fromPackages(place), (error) =>
        isSentence(
          error,
          /^Elasticsearch .* needs Java 21 or newer, and there is none here; .* set JAVA_HOME to one\.$/,
        ),
      );
      // A machine with Java and without Maven.
      await writeFile(join(empty, 'java'), '#!/bin/sh\necho openjdk 25.0.1\n', { mode: 0o755 });
      await assert.rejects(servers.kafka.fromPackages(place), (error) =>
        isSentence(error, /^Apache Kafka .* comes by Maven, and mvn is not on the PATH: install Maven/),
      );
      await assert.rejects(fleetIn('no-docker', { via: 'docker', ports: { sqs: 1 } }).start('sqs'), (error) =>
        isSentence(error, /^ElasticMQ .* cannot run by Docker \(docker is not on the PATH\): .* `--via packages`\.$/),
      );
    } finally {
      process.env.PATH = path;
      if (javaHome !== undefined) process.env.JAVA_HOME = javaHome;
    }
  });

  it('takes no account of a record that is no record', async () => {
    await mkdir(join(directory, 'garbled/redis'), { recursive: true });
    await writeFile(join(directory, 'garbled/redis/server.json'), '{"address": "redis:/');
    assert.equal((await fleetIn('garbled').look('redis')).how, 'none');
    assert.equal(await fleetIn('garbled').stop('redis'), false);
  });
});

describe('the process of a server', () => {
  it('is not taken for a newcomer under its number, and the newcomer is left alone', async () => {
    const sleeper = await launchSleeper('newcomer');
    const folder = join(directory, 'newcomer/redis');
    const run = { via: 'package', ...sleeper, born: 'in another life' } as const;
    writeRecord(folder, { address: 'redis://127.0.0.1:1', port: 1, boot: '', run });
    const fleet = fleetIn('newcomer');
    assert.equal((await fleet.look('redis')).why, 'its process is gone');
    assert.equal(await fleet.kill('redis'), false);
    assert.equal(await fleet.stop('redis'), false);
    assert.equal(readRecord(folder)?.run, null);
    assert.equal(isAlive(sleeper), true);
    await endProcess(sleeper, 'kill');
    assert.equal(isAlive(sleeper), false);
  });
});

describe('two commands that are at the same server', () => {
  it('take turns, and who waits says so once', async () => {
    const events: string[] = [];
    const file = join(directory, 'turns/turn.lock');
    let release = () => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    const act = (name: string, wait: Promise<void>) => async () => {
      events.push(`${name} begins`);
      await wait;
      events.push(`${name} ends`);
    };
    const first = inTurn(file, () => events.push('first waits'), act('first', held));
    await until(() => events.includes('first begins'), 'the first one has the turn');
    const second = inTurn(file, () => events.push('second waits'), act('second', Promise.resolve()));
    await until(() => events.includes('second waits'), 'the second one waits');
    release();
    await Promise.all([first, second]);
    assert.deepEqual(events, ['first begins', 'second waits', 'first ends', 'second begins', 'second ends']);
  });

  it('let the next one in when the first one fails', async () => {
    const file = join(directory, 'turns/failing.lock');
    const never = () => assert.fail('nobody else is there');
    await assert.rejects(
      inTurn(file, never, () => Promise.reject(new Error('broken'))),
      /broken/,
    );
    assert.equal(await inTurn(file, never, async () => 'in'), 'in');
  });
});

async function launchSleeper(folder: string) {
  await mkdir(join(directory, folder), { recursive: true });
  return await launchProcess({ command: 'sleep', args: ['600'] }, join(directory, folder, 'sleeper.log'));
}

async function query(connectionString: string | null, statement: string): Promise<unknown[]> {
  const client = new Client({ connectionString: connectionString ?? '' });
  await client.connect();
  return (await client.query(statement).finally(() => client.end())).rows;
}

function isSentence(error: unknown, pattern: RegExp): boolean {
  assert.ok(error instanceof StartError, String(error));
  assert.match(error.message, pattern);
  return true;
}
