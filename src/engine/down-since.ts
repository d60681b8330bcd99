// Tells the database when a dependency goes down and when it is back, so that a job's wait for it has a
// beginning that outlives this process.
//
// Promises: what was told last is what the row says in the end, however often the database is away meanwhile; a row
// that a dead process left is deleted by the first success here. Bounded: one statement under way per dependency.

import type { Log, System } from './ports.ts';
import { createWakeup } from './wakeup.ts';

// Since when a dependency is down, shared by all processes: jobs that wait for it are not touched meanwhile.
export type Dependencies = {
  // Repeating it keeps the first time.
  readonly down: (name: string) => Promise<void>;
  readonly up: (name: string) => Promise<void>;
};

// The database may be away together with the partner.
const retryMs = 2_000;

export type DownSince = {
  // Of the breaker: it opened, or a probe failed.
  readonly isDown: () => void;
  readonly isUp: () => void;
  readonly run: (signal: AbortSignal) => Promise<void>;
};

export function createDownSince(options: {
  readonly dependency: string;
  readonly dependencies: Dependencies;
  readonly system: System;
  readonly log: Log;
}): DownSince {
  const { dependency, dependencies, system, log } = options;
  const wakeup = createWakeup(system);
  // What is still to be told, in this order. An outage that is over before it was told need not be told; one that
  // follows another must not begin when that one did.
  let untold: ('up' | 'down')[] = [];
  let said: 'up' | 'down' | null = null;

  function say(what: 'up' | 'down'): void {
    if (said === what) return;
    said = what;
    untold = what === 'up' ? ['up'] : [...untold.slice(-1), 'down'];
    wakeup.wake();
  }

  return {
    isDown: () => say('down'),
    isUp: () => say('up'),
    run: async (signal) => {
      while (!signal.aborted) {
        const next = untold[0];
        if (next === undefined) {
          await wakeup.sleep(idleMs, signal);
          continue;
        }
        try {
          await dependencies[next](dependency);
          if (untold[0] === next) untold = untold.slice(1);
        } catch (error) {
          log.debug({ dependency, error: String(error) }, `the database could not be told that it is ${next}`);
          await system.sleep(retryMs, signal);
        }
      }
    },
  };
}

// Nothing is to be told until it is woken.
const idleMs = 3_600_000;
