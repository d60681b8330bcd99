// The machine's clock, randomness, ids and timers: the only file that touches them, so that a
// simulation can replace them all at once. Relies on `uuid` for RFC 9562 ids.

import { randomUUID } from 'node:crypto';
import { v7 } from 'uuid';
import type { System } from '../bus/ports.ts';

export function createSystem(): System {
  return {
    now: () => new Date(),
    monotonicMs: () => performance.now(),
    sleep: (ms, signal) =>
      new Promise((resolve) => {
        if (signal?.aborted) return resolve();
        const end = () => {
          clearTimeout(timer);
          signal?.removeEventListener('abort', end);
          resolve();
        };
        const timer = setTimeout(end, ms);
        signal?.addEventListener('abort', end, { once: true });
      }),
    after: (ms, call) => {
      const timer = setTimeout(call, ms);
      timer.unref();
      return { cancel: () => clearTimeout(timer) };
    },
    random: Math.random,
    newId: v7,
    newToken: randomUUID,
  };
}
