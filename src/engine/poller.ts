// What a consumer's workers fetch for themselves: deliveries that are due (retries, deferred work, ended
// leases) and facts that the bus did not bring.
//
// Promises: a lost broker costs seconds, not orders; nothing is published again, so overload cannot feed
// itself; both ways go through the normal claim, so several processes may pull the same and one wins.
// Relies on the inbox's watermark, which passes only facts that certainly have a delivery.

import { createBell } from './bell.ts';
import type { Consumer } from './consumer.ts';
import type { Inbox, Log, System } from './ports.ts';

// A retry of this process wakes the poll itself; the interval is for what other processes left behind.
export const duePollMs = 250;
// Old enough that the bus, were it well, would have brought it.
const missedAfterMs = 3_000;
export const missedPollMs = 1_000;
// Between two rounds that found something: a backlog is read at up to batchMax per pause, and reading it
// never takes more than a few percent of the database's time.
const dueRoundMs = 20;
const missedRoundMs = 50;
// Per statement: enough to keep the slots busy while the next one is read; what has no slot yet waits for
// one here, a few ids in memory.
const batchMax = 500;
// Four looks a second, of every consumer, while the database is away: who reads along is told this often.
const complaintMs = 10_000;

export type Pull = {
  readonly run: (signal: AbortSignal) => Promise<void>;
  // One look at what is due; answers how many were offered.
  readonly dueOnce: () => Promise<number>;
  // One look for missed facts of every type; answers how many were offered.
  readonly missedOnce: (olderThanMs?: number) => Promise<number>;
  // Something of this consumer is due in this many ms: look then.
  readonly wakeIn: (ms: number) => void;
};

export function createPull(options: {
  readonly consumer: Consumer;
  readonly inbox: Pick<Inbox, 'due' | 'missed'>;
  readonly system: System;
  readonly log: Log;
}): Pull {
  const { consumer, inbox, system, log } = options;
  const bell = createBell(system);

  async function dueOnce(): Promise<number> {
    const mode = consumer.mode();
    // While a dependency is away only what must be parked is offered, and one probe when it is time:
    // the one that waited longest, so that probes rotate over the orders.
    const limit = mode === 'probe' ? 1 : batchMax;
    const due = await inbox.due(consumer.consumer, limit, mode === 'none' ? 'waited-too-long' : 'all');
    await Promise.all(due.map(consumer.take));
    return due.length;
  }

  async function missedOnce(olderThanMs = missedAfterMs): Promise<number> {
    let offered = 0;
    for (const type of consumer.types) {
      const { eventIds, reachedEnd } = await inbox.missed(consumer.consumer, type, olderThanMs, batchMax);
      await Promise.all(eventIds.map((eventId) => consumer.take({ eventId, raw: null })));
      offered += eventIds.length;
      if (!reachedEnd) offered += 1;
    }
    return offered;
  }

  type Loop = {
    readonly name: string;
    // Answers how much it found; more than nothing means that there may be more.
    readonly once: () => Promise<number>;
    readonly roundMs: number;
    readonly pause: () => Promise<void>;
  };

  async function repeat({ name, once, roundMs, pause }: Loop, signal: AbortSignal): Promise<void> {
    let complainedAtMs = Number.NEGATIVE_INFINITY;
    while (!signal.aborted) {
      // Only with capacity to spare: what the bus has brought goes first.
      await consumer.slotFree(signal);
      if (signal.aborted) return;
      try {
        if ((await once()) > 0) await system.sleep(roundMs, signal);
        else await pause();
      } catch (error) {
        if (signal.aborted) return;
        const nowMs = system.monotonicMs();
        if (nowMs - complainedAtMs >= complaintMs) {
          complainedAtMs = nowMs;
          const fields = { consumer: consumer.consumer, error: String(error) };
          log.warn(fields, `${name} could not be read or claimed; tries follow until it can`);
        }
        await pause();
      }
    }
  }

  return {
    dueOnce,
    missedOnce,
    wakeIn: (ms) => void system.after(ms, bell.ring),
    run: async (signal) => {
      const due = { name: 'due work', once: dueOnce, roundMs: dueRoundMs, pause: () => bell.sleep(duePollMs, signal) };
      const missed = {
        name: 'missed facts',
        once: () => missedOnce(),
        roundMs: missedRoundMs,
        pause: () => system.sleep(missedPollMs, signal),
      };
      await Promise.all([repeat(due, signal), repeat(missed, signal)]);
    },
  };
}
