// A sleep that can be ended early: somebody rings, the sleeper looks.
//
// Promises: a ring while nobody sleeps is kept for the next sleep, so none is lost between a look and the
// sleep after it. Allocates nothing that outlives the sleep: loops of this process use it for its life.

import type { System } from './ports.ts';

export type Bell = {
  readonly ring: () => void;
  // Resolves after `ms`, at a ring, or when the signal aborts; never rejects.
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
};

export function createBell(system: System): Bell {
  let rung = false;
  let wake: (() => void) | null = null;
  return {
    ring: () => {
      rung = true;
      wake?.();
    },
    sleep: (ms, signal) => {
      if (rung || signal.aborted) {
        rung = false;
        return Promise.resolve();
      }
      return new Promise((resolve) => {
        const end = () => {
          timer.cancel();
          signal.removeEventListener('abort', end);
          wake = null;
          rung = false;
          resolve();
        };
        const timer = system.after(ms, end);
        wake = end;
        signal.addEventListener('abort', end, { once: true });
      });
    },
  };
}
