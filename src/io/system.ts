// The machine's clock, randomness, ids and timers: the only file that touches them, so that a
// simulation can replace them all at once.
//
// Promises: what the port System says. Relies on `uuid` for ids as in RFC 9562.

import { randomFillSync, randomUUID } from 'node:crypto';
import { v7 } from 'uuid';
import type { System } from '../engine/ports.ts';

// Random bytes are asked of the system for this many ids at once: one call costs as much as many ids.
const idsPerFill = 512;
const idBytes = 16;
const pool = Buffer.alloc(idsPerFill * idBytes);
let used = pool.length;

function sixteenRandomBytes(): Uint8Array {
  if (used === pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  used += idBytes;
  return pool.subarray(used - idBytes, used);
}

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
    newId: () => v7({ rng: sixteenRandomBytes }),
    newToken: randomUUID,
  };
}
