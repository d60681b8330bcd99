// What a consumer's workers fetch for themselves: jobs that are due (retries, deferred work, leases that
// ended, jobs whose hint was lost or found no slot). The poll is the claim.
//
// Promises: it sleeps until the next job that it knows to be due, or until it is woken, so a system that does nothing
// costs nothing; of several processes on one backlog each claims its own part. Relies on a free slot being there before
// a poll, and on being woken for what other processes have written (due-look.ts).

import { unknownVersionPatienceMs } from './admit.ts';
import type { Consumer } from './consumer.ts';
import { createOutage } from './outage.ts';
import type { Log, Sought, System } from './ports.ts';
import { createWakeup } from './wakeup.ts';

// Where a poll could not be made, or may only be a probe; and between two looks for what other processes left behind.
export const pollMs = 250;
// An upper bound, against a mistake of ours.
export const quietPollMs = 60_000;
// Between two polls that found something: slots and due jobs gather meanwhile, so that a backlog is claimed in
// batches.
const roundMs = 20;
// What is looked for seldom: it has waited for an hour, or for a day.
const seldomMs = Math.floor(unknownVersionPatienceMs / 60);

export type Poller = {
  readonly run: (signal: AbortSignal) => Promise<void>;
  // One poll; answers how many jobs it picked.
  readonly runOnce: (sought?: Sought) => Promise<number>;
  // There is work now, or in this many ms.
  readonly wake: () => void;
  readonly wakeIn: (ms: number) => void;
};

export function createPoller(options: {
  readonly consumer: Pick<Consumer, 'consumer' | 'claimDue' | 'mode'>;
  // Resolves when work that can wait may go on (see backpressure.ts).
  readonly turn: () => Promise<void>;
  readonly system: System;
  readonly log: Log;
  // True where what an error means is told by somebody else.
  readonly isTold?: (error: unknown) => boolean;
}): Poller {
  const { consumer, turn, system, log, isTold } = options;
  const outage = createOutage({
    ...{ what: `claiming due jobs of ${consumer.consumer}`, fails: 'fails', works: 'works again' },
    ...{ advice: 'it is tried again', fields: { consumer: consumer.consumer }, isTold, log, system },
  });
  const wakeup = createWakeup(system);
  let soughtAtMs = system.monotonicMs();

  // Answers when to poll again, in ms; a wake-up comes before.
  async function poll(signal: AbortSignal): Promise<number> {
    await turn();
    const nowMs = system.monotonicMs();
    if (nowMs - soughtAtMs >= seldomMs) {
      soughtAtMs = nowMs;
      await consumer.claimDue('unknown-version', signal);
      await consumer.claimDue('waited-too-long', signal);
    }
    // Its jobs are not touched while a dependency is away; when a probe is allowed, one is.
    if (consumer.mode() === 'none') return pollMs;
    const { count, nextDueInMs } = await consumer.claimDue('due', signal);
    outage.worked('look');
    if (count > 0 || nextDueInMs === undefined) return consumer.mode() === 'all' ? roundMs : pollMs;
    return Math.min(quietPollMs, nextDueInMs ?? quietPollMs);
  }

  return {
    wake: wakeup.wake,
    wakeIn: (ms) => void system.after(ms, wakeup.wake),
    runOnce: async (sought = 'due') => (await consumer.claimDue(sought, new AbortController().signal)).count,
    run: async (signal) => {
      while (!signal.aborted) {
        const quietMs = await poll(signal).catch((error) => {
          if (!signal.aborted) outage.failed('look', error);
          return pollMs;
        });
        if (quietMs === roundMs) await system.sleep(roundMs, signal);
        else await wakeup.sleep(quietMs, signal);
      }
      outage.left('look');
    },
  };
}
