// A sleep that can be ended early: somebody wakes the sleeper.
//
// Promises: a wake-up while nobody sleeps is kept for the next sleep, so none is lost between a read and the
// sleep after it. Allocates nothing that outlives the sleep: loops of this process use it for its life.

import type { System } from './ports.ts';

export type Wakeup = {
  readonly wake: () => void;
  // Resolves after `ms`, when woken, or when the signal aborts; never rejects.
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
};

export function createWakeup(system: System): Wakeup {
  let isWoken = false;
  let end: (() => void) | null = null;
  return {
    wake: () => {
      isWoken = true;
      end?.();
    },
    sleep: (ms, signal) => {
      if (isWoken || signal.aborted) {
        isWoken = false;
        return Promise.resolve();
      }
      return new Promise((resolve) => {
        const stop = () => {
          timer.cancel();
          signal.removeEventListener('abort', stop);
          end = null;
          isWoken = false;
          resolve();
        };
        const timer = system.after(ms, stop);
        end = stop;
        signal.addEventListener('abort', stop, { once: true });
      });
    },
  };
}
