// What other processes left behind for the consumers of this one: one look for all of them, instead of a poll for each.
//
// Promises: the poller of a consumer that has a job that is due is woken within `pollMs`, so a lost hint costs a fraction
// of a second, not an order; an idle process asks the database once in that time, however many consumers it has.
// Relies on the pollers for everything that this process knows of itself.

import { createOutage } from './outage.ts';
import { type Poller, pollMs } from './poller.ts';
import type { Jobs, Log, Step, System } from './ports.ts';

export type DueLook = { readonly run: (signal: AbortSignal) => Promise<void> };

export function createDueLook(options: {
  readonly jobs: Pick<Jobs, 'findDue'>;
  readonly consumers: readonly {
    readonly step: Pick<Step, 'consumer' | 'types'>;
    readonly poller: Pick<Poller, 'wake'>;
  }[];
  readonly system: System;
  readonly log: Log;
  // True where what an error means is told by somebody else.
  readonly isTold?: (error: unknown) => boolean;
}): DueLook {
  const { jobs, consumers, system, log, isTold } = options;
  const outage = createOutage({
    ...{ what: 'looking for due jobs', fails: 'fails', works: 'works again', advice: 'it is tried again' },
    ...{ isTold, log, system },
  });
  const steps = consumers.map(({ step }) => step);

  async function look(): Promise<void> {
    const due = new Set(await jobs.findDue(steps));
    outage.worked('look');
    for (const { step, poller } of consumers) if (due.has(step.consumer)) poller.wake();
  }

  return {
    run: async (signal) => {
      if (steps.length === 0) return;
      while (!signal.aborted) {
        await system.sleep(pollMs, signal);
        if (signal.aborted) break;
        await look().catch((error) => outage.failed('look', error));
      }
      outage.left('look');
    },
  };
}
