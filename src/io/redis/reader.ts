// One consumer's queue on Redis, as BullMQ's worker works it.
//
// Promises: a job is handed over as one batch, then removed; one at a time is in this process. A worker that is closed
// in peace has removed all that it handed over.
// Process dies: the lock of its job runs out, and another worker's check brings it back to the queue.

import { type Job, Worker } from 'bullmq';
import type { Redis } from 'ioredis';
import type { Bus, Received, Subscription } from '../../engine/bus.ts';
import type { Outage } from '../../engine/outage.ts';
import type { System } from '../../engine/ports.ts';
import { within } from '../within.ts';

// Far longer than a job takes. What a worker held that died, or whose answer got lost, comes again within the lock and
// two checks.
const lockDurationMs = 5_000;
const stalledIntervalMs = 5_000;
// After an error of the connection; ioredis has its own way back, this only paces what BullMQ repeats.
const retryPauseMs = 500;
// A worker that cannot say goodbye by then (Redis is away) is cut off.
const farewellMs = 500;

export function readQueue(options: {
  readonly group: string;
  readonly client: Redis;
  readonly receive: Parameters<Bus['subscribe']>[2];
  readonly outage: Outage;
  readonly system: System;
}): Subscription {
  const { group, client, receive, outage, system } = options;
  let isClosed = false;

  async function work(job: Job<unknown>): Promise<void> {
    if (!isClosed) receive(receivedOf(job));
  }

  const worker = new Worker<unknown>(group, work, {
    connection: client,
    // Nothing is kept of a job that is done, and nobody asks for it again.
    removeOnComplete: { count: 0 },
    removeOnFail: { count: 0 },
    lockDuration: lockDurationMs,
    skipLockRenewal: true,
    stalledInterval: stalledIntervalMs,
    runRetryDelay: retryPauseMs,
    skipVersionCheck: true,
  });
  worker.on('active', () => outage.worked(group));
  worker.on('error', (error) => {
    // While the connection is away its own events tell of it.
    if (client.status === 'ready' && !isClosed) outage.failed(group, error);
  });

  return {
    close: async () => {
      if (client.status === 'ready') {
        // What it holds is handed over and removed, or it comes again when its lock has run out.
        await within({ what: 'the farewell', ms: farewellMs, system }, () => worker.pause()).catch(() => {});
      }
      isClosed = true;
      // Without `force` it would wait for a Redis that is away.
      await worker.close(true);
      outage.left(group);
    },
  };
}

// What somebody else put into the queue is handed over as the JSON it is: reading it is not ours.
function receivedOf({ id, data, queueName }: Job<unknown>): Received[] {
  const texts: unknown[] = Array.isArray(data) ? data : [data];
  return texts.map((text, index) => ({
    body: Buffer.from(typeof text === 'string' ? text : JSON.stringify(text ?? null)),
    at: `queue ${queueName}, job ${id}, message ${index}`,
  }));
}
