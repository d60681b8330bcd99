// Redis for real, in a folder and on a port of its own: nothing of the other suites' Redis is touched.

import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { Redis } from 'ioredis';
import { createFleet, type Fleet } from '../../services/fleet.ts';
import { serverNames } from '../../services/server.ts';
import { settingsFor } from '../support/services.ts';

describe('Redis from packages', () => {
  let directory = '';
  let fleet: Fleet;
  before(async () => {
    directory = await mkdtemp(join(await realpath(tmpdir()), 'orderly-redis-'));
    const ports = { redis: randomInt(20_000, 32_000) };
    fleet = createFleet({ directory, environment: {}, say: () => undefined, via: 'packages', ports });
  });
  after(async () => {
    await fleet.stop('redis');
    await rm(directory, { recursive: true, force: true });
  });

  it('keeps what a stop has seen, comes back after SIGKILL, and never evicts', async () => {
    const started = await fleet.start('redis');
    await ask(started.address, (redis) => redis.set('kept', 'yes'));
    assert.equal(await fleet.stop('redis'), true);
    assert.equal(await fleet.stop('redis'), false);

    const again = await fleet.start('redis');
    assert.equal(again.address, started.address);
    assert.equal(await ask(again.address, (redis) => redis.get('kept')), 'yes');
    assert.equal(await fleet.kill('redis'), true);
    assert.equal((await fleet.look('redis')).why, 'its process is gone');

    const after = await fleet.start('redis');
    assert.notEqual(after.pid, again.pid);
    assert.equal(await ask(after.address, (redis) => redis.get('kept')), 'yes');
    const policy = await ask(after.address, (redis) => redis.config('GET', 'maxmemory-policy'));
    assert.deepEqual(policy, ['maxmemory-policy', 'noeviction']);
  });
});

describe('the servers of the suites', () => {
  it('all answer, and each has its setting in the environment', async () => {
    const settings = await settingsFor(...serverNames);
    for (const [name, address] of Object.entries(settings)) assert.equal(process.env[name] ?? address, address);
    const names = ['DATABASE_URL', 'KAFKA_BROKERS', 'REDIS_URL', 'AWS_ENDPOINT_URL_SQS', 'ELASTICSEARCH_URL'];
    assert.deepEqual(
      names.filter((name) => settings[name] === undefined),
      [],
    );
  });
});

async function ask<T>(address: string | null, question: (redis: Redis) => Promise<T>): Promise<T> {
  const redis = new Redis(address ?? '');
  return await question(redis).finally(() => redis.disconnect());
}
