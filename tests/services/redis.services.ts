// What only BullMQ on Redis has: jobs and their ids, a server that forgets, a queue that nobody reads.

import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { Queue } from 'bullmq';
import { Redis } from 'ioredis';
import { start } from '../support/services.ts';
import { createMemoryLog, silentLog } from '../support/silent-log.ts';
import { until } from '../support/until.ts';
import { createWorld, idsOf, messagesOf, publishAll, read, signal, type World } from './bus-world.ts';
import { openBus as open } from './open-redis.ts';
import { closedAfterwards } from './opened.ts';

const url = await start('redis');
process.env.REDIS_URL = url;
const redis = new Redis(url);
const openBus = closedAfterwards(open);
after(() => redis.disconnect());

const groupOf = (world: World) => world.readers[0]?.group ?? '';
const waitingIn = async (bus: ReturnType<typeof openBus>, world: World) => (await bus.lag?.())?.get(groupOf(world));

describe('the bus on Redis', { timeout: 120_000 }, () => {
  it('makes one job of a fact that is published again, and leaves no trace of it once it is read', async () => {
    const world = createWorld();
    const bus = openBus(world, silentLog);
    const sent = messagesOf(world, 50);
    await publishAll(bus, sent);
    await publishAll(bus, sent);
    assert.equal(await waitingIn(bus, world), 50);
    const reader = await read(bus, world, 'payment');
    await until(async () => (await waitingIn(bus, world)) === 0, 'an empty queue');
    assert.equal(reader.seen.length, 50);
    const left = await redis.keys(`bull:${groupOf(world)}:*`);
    const ids = new Set(idsOf(sent));
    assert.deepEqual(
      left.filter((key) => ids.has(key.slice(key.lastIndexOf(':') + 1))),
      [],
    );
    await bus.close();
  });

  it('drops a job that was refused eight times, and says so', async () => {
    const world = createWorld();
    const log = createMemoryLog();
    const bus = openBus(world, log);
    const queue = new Queue(groupOf(world), { connection: redis });
    let refusals = 0;
    await read(bus, world, 'payment', async () => {
      refusals += 1;
      throw new Error('no');
    });
    await publishAll(bus, messagesOf(world, 1));
    // Its pauses are cut short; they are BullMQ's to keep.
    await until(
      async () => {
        await queue.promoteJobs();
        return (await waitingIn(bus, world)) === 0;
      },
      'the job to be dropped',
      { patienceMs: 60_000 },
    );
    assert.equal(refusals, 8);
    assert.ok(log.lines.some((line) => line.includes('dropped')));
    await queue.close();
    await bus.close();
  });

  it('goes on when Redis is flushed while messages are published and read', async () => {
    const world = createWorld();
    const bus = openBus(world, silentLog);
    let flushed = false;
    const reader = await read(bus, world, 'payment', async () => {
      if (flushed || reader.calls() < 50) return;
      flushed = true;
      await redis.flushall();
    });
    await publishAll(bus, messagesOf(world, 500));
    await until(() => flushed, 'the flush');
    const later = messagesOf(world, 500);
    await publishAll(bus, later);
    await until(() => idsOf(later).every((id) => reader.taken.has(id)), 'what was published after it');
    await bus.close();
  });

  it('warns once of a Redis that keeps nothing on disk, or that may throw jobs away', async () => {
    const before = await Promise.all(
      ['appendonly', 'save', 'maxmemory-policy'].map((name) => redis.config('GET', name)),
    );
    try {
      await redis.config('SET', 'appendonly', 'no', 'save', '', 'maxmemory-policy', 'allkeys-lru');
      const log = createMemoryLog();
      const world = createWorld();
      const bus = openBus(world, log);
      await publishAll(bus, messagesOf(world, 1));
      await until(() => log.lines.length >= 2, 'two warnings');
      assert.match(
        log.lines.join('\n'),
        /keeps nothing on disk[\s\S]*allkeys-lru|allkeys-lru[\s\S]*keeps nothing on disk/,
      );
      await bus.close();
    } finally {
      for (const pair of before as [string, string][]) await redis.config('SET', pair[0], pair[1]);
    }
    const log = createMemoryLog();
    const world = createWorld();
    const bus = openBus(world, log);
    await publishAll(bus, messagesOf(world, 1));
    const reader = await read(bus, world, 'payment');
    await until(() => reader.taken.size === 1, 'the message');
    await bus.close();
    assert.deepEqual(log.lines, []);
  });

  it('gives a reader that nobody runs no more than its share of the memory', async () => {
    const world = createWorld({ payment: ['OrderCreatedV1'], analytics: ['OrderCreatedV1'] });
    const log = createMemoryLog();
    const bus = openBus(world, log);
    const wait = `bull:${world.readers[1]?.group}:wait`;
    await redis.eval("for i = 1, 100000 do redis.call('RPUSH', KEYS[1], 'x') end", 1, wait);
    const reader = await read(bus, world, 'payment');
    const sent = messagesOf(world, 100);
    await publishAll(bus, sent);
    await until(() => reader.taken.size === 100, 'the messages of the other reader');
    assert.equal(await redis.llen(wait), 100_000);
    assert.ok(log.lines.some((line) => line.includes('takes no more')));
    await redis.del(wait);
    await bus.close();
  });

  it('hands over what somebody else put into the queue as the JSON it is', async () => {
    const world = createWorld();
    const bus = openBus(world, silentLog);
    const queue = new Queue(groupOf(world), { connection: redis });
    await queue.add('whatever', { specversion: '1.0', id: 'x' });
    const reader = await read(bus, world, 'payment');
    await until(() => reader.bodies.length > 0, 'the foreign job');
    assert.equal(reader.bodies[0]?.toString(), '{"specversion":"1.0","id":"x"}');
    await queue.close();
    await bus.close();
  });

  it('gives back untouched what is refused while it closes', async () => {
    const world = createWorld();
    const bus = openBus(world, silentLog);
    const queue = new Queue(groupOf(world), { connection: redis });
    let refuse = () => {};
    const stopping = new Promise<never>((_, reject) => {
      refuse = () => reject(new Error('the worker stops'));
    });
    stopping.catch(() => {});
    const reader = await read(bus, world, 'payment', () => stopping);
    await bus.publish(messagesOf(world, 20), signal);
    await until(() => reader.running() === 20, 'twenty jobs under way');
    const closing = reader.close();
    refuse();
    await closing;
    const waiting = await queue.getWaiting();
    assert.equal(waiting.length, 20);
    assert.ok(waiting.every((job) => job.attemptsMade === 0));
    await queue.close();
    await bus.close();
  });
});
