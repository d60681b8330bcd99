// The bus on Redis through BullMQ: one queue per consumer; a job is a handful of messages.
//
// Promises: `publish` resolves when Redis has the messages for every consumer that reads them; a job is removed when
// it was handed over. A queue that nobody empties takes no more than a bounded number of jobs.
// Relies on the database for whatever Redis forgets, and on ioredis to reconnect for as long as it takes.

import { once } from 'node:events';
import { Queue } from 'bullmq';
import { Redis } from 'ioredis';
import type { Bus, Message, ReaderGroup, Subscription } from '../../engine/bus.ts';
import { createOutage } from '../../engine/outage.ts';
import type { Log, System } from '../../engine/ports.ts';
import { batchesOf } from '../batches.ts';
import { within } from '../within.ts';
import { readQueue } from './reader.ts';

// Well above what a busy Redis takes for a full batch; then the relay tries again by its own backoff.
const publishTimeoutMs = 5_000;
const lagTimeoutMs = 2_000;
// A job costs Redis as much as a dozen messages in it. More would go to one worker while the others wait.
const jobLimits = { countMax: 16, bytesMax: 1_048_576, bytesOf: ({ body }: Message) => body.length };
// Of a consumer that nobody runs, some 10 MB: its work waits in the database, and old hints are worth nothing.
const backlogMax = 1_000;
// How often the length of a queue is looked at while it is published to.
const backlogLookMs = 1_000;
// Reconnects follow quickly at first, for a restarted server is back within a second or two.
const reconnectMsMin = 50;
const reconnectMsMax = 1_000;
// Without an answer for this long a connection fell silent, and ends. A worker waits for five seconds at most.
const socketTimeoutMs = 15_000;

export function createRedisBus(options: {
  readonly url: string;
  readonly readers: readonly ReaderGroup[];
  readonly system: System;
  readonly log: Log;
}): Bus {
  const { url, readers, system, log } = options;
  const outage = createOutage({
    what: `Redis at ${new URL(url).host}`,
    advice: 'events wait in the database. Check REDIS_URL, and that it runs',
    fields: { dependency: 'redis' },
    log,
    system,
  });
  const closing = new AbortController();
  const retryStrategy = (times: number) => Math.min(reconnectMsMax, reconnectMsMin * 2 ** Math.min(times, 10));

  function connect(way: string, how: object): Redis {
    const client = new Redis(url, {
      ...{ retryStrategy, socketTimeout: socketTimeoutMs },
      ...how,
    });
    client.on('error', (error) => outage.failed(way, error));
    client.on('ready', () => outage.worked(way));
    return client;
  }

  // What is published fails at once when Redis goes away: the relay keeps it, so nothing piles up here.
  const publisher = connect('publishing', {
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
  });
  // Made by the first subscription: a process that only publishes holds one connection.
  let working: Redis | null = null;
  const subscriptions = new Set<Subscription>();
  const queues = readers.map(({ group, types }) => {
    const queue = new Queue<readonly string[]>(group, {
      connection: publisher,
      skipMetasUpdate: true,
      skipVersionCheck: true,
    });
    // Whoever called is told; without a listener it would end the process.
    queue.on('error', () => {});
    return { group, types: new Set(types), queue, isFull: false, lookedAtMs: Number.NEGATIVE_INFINITY };
  });
  type QueueOfGroup = (typeof queues)[number];

  async function look(one: QueueOfGroup): Promise<void> {
    const nowMs = system.monotonicMs();
    if (nowMs - one.lookedAtMs < backlogLookMs) return;
    one.lookedAtMs = nowMs;
    const wasFull = one.isFull;
    one.isFull = (await one.queue.getWaitingCount()) >= backlogMax;
    if (!one.isFull || wasFull) return;
    const { group } = one;
    log.warn({ group }, `the queue has ${backlogMax} jobs and takes no more: its consumer does not run or is too slow`);
  }

  async function add(one: QueueOfGroup, messages: readonly Message[]): Promise<void> {
    const read = messages.filter((message) => one.types.has(message.type));
    if (read.length === 0) return;
    await look(one);
    if (one.isFull) return;
    // One round trip. The name of a job says how many messages are in it, to people and to `lag`.
    await one.queue.addBulk(
      batchesOf(read, jobLimits).map((batch) => ({
        name: String(batch.length),
        data: batch.map(({ body }) => body.toString()),
      })),
    );
  }

  // No more jobs than a queue takes.
  async function countMessages({ queue }: QueueOfGroup): Promise<number> {
    const ids = await queue.getRanges(['wait', 'active'], 0, -1);
    const names = await Promise.all(ids.map((id) => publisher.hget(queue.toKey(id), 'name')));
    return names.reduce((sum, name) => sum + (Number(name) || 1), 0);
  }

  return {
    publish: (messages, signal) =>
      within({ what: 'publishing to Redis', ms: publishTimeoutMs, signal, system }, async (inner) => {
        // A refused connection ends the wait at once, with its reason.
        if (publisher.status !== 'ready') await once(publisher, 'ready', { signal: inner });
        await Promise.all(queues.map((one) => add(one, messages)));
      }),
    subscribe: async (group, _types, receive) => {
      // Workers ask again for as long as it takes.
      working ??= connect('working', { maxRetriesPerRequest: null });
      const subscription = readQueue({ group, client: working, receive, outage, system });
      subscriptions.add(subscription);
      return subscription;
    },
    isAway: outage.isOpen,
    lag: () =>
      within({ what: 'reading the lag', ms: lagTimeoutMs, signal: closing.signal, system }, async () => {
        const counted = queues.map(async (one) => [one.group, await countMessages(one)] as const);
        return new Map(await Promise.all(counted));
      }),
    close: async () => {
      closing.abort(new Error('the bus was closed'));
      await Promise.all([...subscriptions].map((one) => one.close()));
      await Promise.allSettled(queues.map((one) => one.queue.close()));
      publisher.disconnect();
      working?.disconnect();
    },
  };
}
