// The bus on Redis through BullMQ: one queue per consumer; a message is a job whose id is the fact's id.
//
// Promises: `publish` resolves when Redis has a job for every reader of every message; a job is removed
// when its reader has claimed it; a reader that dies or refuses gets it again. No order: jobs run side by
// side, and a refused one waits its turn anew. A job that is refused eight times is dropped, for attempts
// here stand for infrastructure only; its reader pulls the fact from the database long before.
// Relies on the database for whatever Redis forgets, and on ioredis to reconnect for as long as it takes.

import { once } from 'node:events';
import { type JobsOptions, Queue } from 'bullmq';
import { Redis } from 'ioredis';
import type { Bus, Log, Message, ReaderGroup, Subscription, System } from '../../engine/ports.ts';
import { createComplaint, createOutage } from './outage.ts';
import { type QueuedText, readQueue, toQueued } from './redis-reader.ts';
import { warnIfForgetful } from './redis-warnings.ts';
import { within } from './within.ts';

// Well above what a busy Redis takes for a full batch; then the relay tries again by its own backoff.
const publishTimeoutMs = 5_000;
const lagTimeoutMs = 2_000;
const unread = ['wait', 'active', 'delayed', 'prioritized'] as const;
// Of a reader that nobody runs, about 150 MB; a Redis that is full would refuse all the others as well.
const backlogMax = 100_000;
// How often the length of a queue is looked at while it is published to.
const backlogLookMs = 1_000;
// Reconnects follow quickly at first, for a restarted server is back within a second or two.
const reconnectMsMin = 50;
const reconnectMsMax = 1_000;
// Without an answer for this long a connection fell silent, and ends. A worker waits for ten seconds at most.
const socketTimeoutMs = 15_000;
// Jobs of one reader in this process that are not claimed yet. More win nothing: a flush of claims takes them all.
const concurrencyDefault = 128;

// The last of eight attempts comes after about a minute. Finished jobs are removed at once: until then a
// fact that is published again finds its job and adds none, later it comes again and is known by its id.
const jobOptions: JobsOptions = {
  attempts: 8,
  backoff: { type: 'exponential', delay: 500, jitter: 0.5 },
  removeOnComplete: true,
  removeOnFail: true,
  stackTraceLimit: 1,
};

export function createRedisBus(options: {
  readonly url: string;
  readonly readers: readonly ReaderGroup[];
  readonly concurrency?: number | undefined;
  readonly system: System;
  readonly log: Log;
}): Bus {
  const { url, readers, concurrency = concurrencyDefault, system, log } = options;
  const outage = createOutage({ server: 'Redis', address: new URL(url).host, log });
  const complain = createComplaint(log, system);
  const closing = new AbortController();
  const retryStrategy = (times: number) => Math.min(reconnectMsMax, reconnectMsMin * 2 ** Math.min(times, 10));

  function connect(way: string, how: object): Redis {
    const client = new Redis(url, {
      ...{ retryStrategy, maxRetriesPerRequest: null, socketTimeout: socketTimeoutMs },
      ...how,
    });
    client.on('error', (error) => outage.failed(way, error));
    client.on('ready', () => outage.worked(way));
    return client;
  }

  // What is published fails at once while Redis is away: the relay keeps it, so nothing piles up here.
  const publisher = connect('publishing', { enableOfflineQueue: false, autoResendUnfulfilledCommands: false });
  publisher.once('ready', () => {
    warnIfForgetful(publisher, log).catch((error) =>
      log.warn({ error: String(error) }, 'Redis did not say whether it keeps what it is given'),
    );
  });

  const queues = readers.map(({ group, types }) => {
    const queue = new Queue<QueuedText>(group, {
      connection: publisher,
      skipMetasUpdate: true,
      skipVersionCheck: true,
    });
    queue.on('error', (error) => {
      // While the connection is away its own events tell of it.
      if (publisher.status === 'ready') complain({ group, error: String(error) }, 'a queue on Redis reported an error');
    });
    return { group, types: new Set(types), queue, isFull: false, lookedAtMs: Number.NEGATIVE_INFINITY };
  });
  // Made by the first subscription: a process that only publishes holds one connection.
  let working: Redis | null = null;
  const subscriptions = new Set<Subscription>();

  async function looked(one: (typeof queues)[number]): Promise<void> {
    const nowMs = system.monotonicMs();
    if (nowMs - one.lookedAtMs < backlogLookMs) return;
    one.lookedAtMs = nowMs;
    one.isFull = (await one.queue.getWaitingCount()) >= backlogMax;
    if (!one.isFull) return;
    const message = `the queue has ${backlogMax} jobs and takes no more: its reader does not run or is too slow, and pulls the rest`;
    complain({ group: one.group }, message);
  }

  async function add(one: (typeof queues)[number], messages: readonly Message[]): Promise<void> {
    const read = messages.filter((message) => one.types.has(message.type));
    if (read.length === 0) return;
    await looked(one);
    if (one.isFull) return;
    // One round trip. Process dies in the middle: some are added, the relay publishes all of them again.
    await one.queue.addBulk(
      read.map(({ id, type, body }) => ({ name: type, data: toQueued(body), opts: { ...jobOptions, jobId: id } })),
    );
  }

  return {
    capabilities: { ordered: false, durable: true, redelivers: true },
    publish: (messages, signal) =>
      within({ what: 'publishing to Redis', ms: publishTimeoutMs, signal, system }, async (inner) => {
        // A refused connection ends the wait at once, with its reason.
        if (publisher.status !== 'ready') await once(publisher, 'ready', { signal: inner });
        await Promise.all(queues.map((one) => add(one, messages)));
      }),
    subscribe: async (group, _types, receive) => {
      working ??= connect('working', {});
      const subscription = readQueue({ group, client: working, concurrency, receive, complain, system, log });
      subscriptions.add(subscription);
      return subscription;
    },
    lag: () =>
      within({ what: 'reading the lag', ms: lagTimeoutMs, signal: closing.signal, system }, async () => {
        const counted = queues.map(
          async ({ group, queue }) => [group, await queue.getJobCountByTypes(...unread)] as const,
        );
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
