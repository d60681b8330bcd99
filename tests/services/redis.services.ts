// What only BullMQ on Redis has: jobs, a server that forgets, a queue that nobody reads.

import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { Queue } from 'bullmq';
import { Redis } from 'ioredis';
import { start } from '../support/services.ts';
import { createMemoryLog, silentLog } from '../support/silent-log.ts';
import { until } from '../support/until.ts';
import { createWorld, messagesOf, publishAll, read, signal, type World } from './bus-world.ts';
import { openBus as open } from './open-redis.ts';
import { closedAfterwards } from './opened.ts';

const url = await start('redis');
process.env.REDIS_URL = url;
const redis = new Redis(url);
const openBus = closedAfterwards(open);
after(() => redis.disconnect());

const groupOf = (world: World) => world.readers[0]?.group ?? '';

describe('the bus on Redis', { timeout: 120_000 }, () => {
  it('puts a handful of messages into each job, says how many wait, and leaves no trace of what is read', async () => {
    const world = createWorld();
    const bus = openBus(world, silentLog);
    const group = groupOf(world);
    const queue = new Queue(group, { connection: redis });
    await publishAll(bus, messagesOf(world, 50));
    assert.equal((await bus.lag()).get(group), 50);
    assert.equal(await queue.getWaitingCount(), 4);
    const reader = await read(bus, world, 'payment');
    await until(async () => (await bus.lag()).get(group) === 0, 'an empty queue');
    assert.equal(reader.seen.length, 50);
    const left = await redis.keys(`bull:${group}:*`);
    assert.deepEqual(
      left.filter((key) => /:\d+$/.test(key)),
      [],
    );
    await queue.close();
    await bus.close();
  });

  it('goes on when Redis is flushed while messages are published and read', async () => {
    const world = createWorld();
    const bus = openBus(world, silentLog);
    const reader = await read(bus, world, 'payment');
    const load = new AbortController();
    const publishing = (async () => {
      while (!load.signal.aborted) await bus.publish(messagesOf(world, 50), signal);
    })();
    for (let flushes = 0; flushes < 5; flushes += 1) {
      const before = reader.ids().size;
      await redis.flushall();
      await until(() => reader.ids().size > before + 500, 'messages after a flush');
    }
    load.abort();
    await publishing;
    const later = messagesOf(world, 500);
    await publishAll(bus, later);
    await until(() => reader.has(later), 'what was published after it');
    await bus.close();
  });

  it('gives a consumer that nobody runs no more than its share of the memory', async () => {
    const world = createWorld({ payment: ['OrderCreatedV1'], analytics: ['OrderCreatedV1'] });
    const log = createMemoryLog();
    const bus = openBus(world, log);
    const wait = `bull:${world.readers[1]?.group}:wait`;
    await redis.eval("for i = 1, 1000 do redis.call('RPUSH', KEYS[1], 'x') end", 1, wait);
    const reader = await read(bus, world, 'payment');
    const sent = messagesOf(world, 100);
    await publishAll(bus, sent);
    await until(() => reader.ids().size === 100, 'the messages of the other consumer');
    assert.equal(await redis.llen(wait), 1_000);
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
});
