// One reader's queue on Redis, as BullMQ's worker works it.
//
// Promises: a job is handed over alone, so that one that is refused holds up no other, and it is removed
// when `receive` resolved. What is refused comes again after a pause that grows; what is not done when the
// subscription closes goes back untouched. At most `concurrency` jobs are in this process.
// Process dies: the locks of its jobs run out, and another worker's check brings them back to the queue.
// A lock that was lost (a frozen process, a flushed Redis) only means that the job is done twice or gone.

import { type Job, WaitingError, Worker } from 'bullmq';
import type { Redis } from 'ioredis';
import type { Log, Received, Subscription, System } from '../../engine/ports.ts';
import type { Complaint } from './outage.ts';
import { toBody, toText } from './text.ts';
import { within } from './within.ts';

// A dead worker's jobs come again within the lock and two checks. Locks are renewed at half their time,
// by one call for all jobs; five seconds of a blocked process cost a repetition, not a fact.
const lockDurationMs = 10_000;
const stalledIntervalMs = 3_000;
// A job whose workers died so often is dropped; the database counts takeovers and parks what kills.
const stalledCountMax = 10;
// After an error of the connection; ioredis has its own way back, this only paces what BullMQ repeats.
const retryPauseMs = 500;
// How long an idle worker waits in one blocking call before it looks for delayed jobs by itself.
const idleWaitS = 5;
// A worker that cannot say goodbye by then (Redis is away) is cut off.
const farewellMs = 500;

// A body is a string where it can be one, so that Redis' own tools show the event.
export type QueuedText = string | { readonly base64: string };

export function toQueued(body: Buffer): QueuedText {
  const { text, encoding } = toText(body);
  return encoding === 'utf8' ? text : { base64: text };
}

// What somebody else put into the queue is handed over as the JSON it is: reading it is not ours.
function toReceived(data: unknown): Received {
  if (typeof data === 'string') return { body: Buffer.from(data) };
  const base64 = (data as { readonly base64?: unknown } | null)?.base64;
  if (typeof base64 === 'string') return { body: toBody({ text: base64, encoding: 'base64' }) };
  return { body: Buffer.from(JSON.stringify(data ?? null)) };
}

export function readQueue(options: {
  readonly group: string;
  readonly client: Redis;
  readonly concurrency: number;
  readonly receive: (batch: readonly Received[]) => Promise<void>;
  readonly complain: Complaint;
  readonly system: System;
  readonly log: Log;
}): Subscription {
  const { group, client, concurrency, receive, complain, system, log } = options;
  const underWay = new Set<Promise<void>>();
  // Jobs of which Redis has not been told yet what became of them.
  const untold = new Set<string | undefined>();
  let closed: Promise<void> | null = null;
  let onTold = () => {};

  async function work(job: Job<unknown>, token: string | undefined): Promise<void> {
    untold.add(job.id);
    // Of a job that somebody else has by now, or that was flushed, the end is never told.
    if (untold.size > concurrency) untold.delete(untold.values().next().value);
    if (closed !== null) return giveBack(job, token);
    const body = toReceived(job.data);
    // The worker keeps the job until it is done; one copy of the body is enough.
    job.data = null;
    const received = receive([body]);
    underWay.add(received);
    try {
      await received;
    } catch (error) {
      if (closed !== null) return giveBack(job, token);
      throw error;
    } finally {
      underWay.delete(received);
    }
  }

  // Uncharged: the next worker finds it as it was.
  async function giveBack(job: Job<unknown>, token: string | undefined): Promise<never> {
    await job.moveToWait(token);
    told(job.id);
    throw new WaitingError();
  }

  function told(id: string | undefined): void {
    untold.delete(id);
    if (untold.size === 0) onTold();
  }

  const worker = new Worker<unknown>(group, work, {
    connection: client,
    concurrency,
    lockDuration: lockDurationMs,
    stalledInterval: stalledIntervalMs,
    maxStalledCount: stalledCountMax,
    drainDelay: idleWaitS,
    runRetryDelay: retryPauseMs,
    skipVersionCheck: true,
  });
  worker.on('error', (error) => {
    // While the connection is away its own events tell of it.
    if (client.status !== 'ready') return log.debug({ group, error: String(error) }, 'a worker waits for Redis');
    complain({ group, error: String(error) }, 'a worker on Redis reported an error; its job may come again');
  });
  worker.on('completed', (job) => told(job.id));
  worker.on('failed', (job, error) => {
    told(job?.id);
    if (job !== undefined && job.attemptsMade < (job.opts.attempts ?? 1)) {
      return complain({ group, error: String(error) }, 'a job was not taken; it comes again');
    }
    complain(
      { group, jobId: job?.id, error: String(error) },
      'a job was dropped; its fact is pulled from the database',
    );
  });

  async function close(): Promise<void> {
    // At once: no further job is fetched.
    void worker.pause(true);
    await Promise.allSettled(underWay);
    if (client.status === 'ready') {
      const { signal } = new AbortController();
      // What Redis is not told now comes again when its lock has run out.
      await within({ what: 'the farewell', ms: farewellMs, signal, system }, farewell).catch((error) =>
        log.debug({ group, error: String(error) }, 'a worker left without its farewell'),
      );
    }
    // Without `force` it would wait for a Redis that is away.
    await worker.close(true);
  }

  // Twice: a job that is given back wakes the call that waits for one, which fetches it though the worker pauses.
  async function farewell(): Promise<void> {
    for (let rounds = 0; rounds < 2; rounds += 1) {
      await system.sleep(1);
      // The answer comes behind that of a fetch that was under way, whose job is then given back.
      await client.ping();
      await system.sleep(1);
      if (untold.size === 0) continue;
      await new Promise<void>((resolve) => {
        onTold = resolve;
      });
    }
  }

  return {
    close: () => {
      closed ??= close();
      return closed;
    },
  };
}
