// A bounded number of slots with a fair queue: the bulkhead of a consumer.
//
// Promises: never more than `count` are out; who waits gets one in the order of asking, or rejects when
// the signal aborts. Everything is in memory and worth nothing after a crash.

export type Slots = {
  readonly acquire: (signal: AbortSignal) => Promise<void>;
  readonly release: () => void;
  // Resolves when a slot is free (it may be gone again by then) or the signal aborts.
  readonly whenFree: (signal: AbortSignal) => Promise<void>;
  readonly whenAllFree: () => Promise<void>;
};

export function createSlots(count: number): Slots {
  let out = 0;
  const waiting = new Set<() => void>();
  const watching = new Set<() => void>();
  let emptied: (() => void)[] = [];

  function wakeAll(callbacks: Set<() => void>): void {
    const called = [...callbacks];
    callbacks.clear();
    for (const call of called) call();
  }

  return {
    acquire: (signal) => {
      if (signal.aborted) return Promise.reject(new Error('stopping'));
      if (out < count) {
        out += 1;
        return Promise.resolve();
      }
      return new Promise((resolve, reject) => {
        const grant = () => {
          signal.removeEventListener('abort', giveUp);
          resolve();
        };
        const giveUp = () => {
          waiting.delete(grant);
          reject(new Error('stopping'));
        };
        waiting.add(grant);
        signal.addEventListener('abort', giveUp, { once: true });
      });
    },
    release: () => {
      const next = waiting.values().next();
      if (!next.done) {
        // The slot passes on without being free in between.
        waiting.delete(next.value);
        return next.value();
      }
      out -= 1;
      wakeAll(watching);
      if (out > 0) return;
      for (const call of emptied) call();
      emptied = [];
    },
    whenFree: (signal) => {
      if (out < count || signal.aborted) return Promise.resolve();
      return new Promise((resolve) => {
        const end = () => {
          watching.delete(end);
          signal.removeEventListener('abort', end);
          resolve();
        };
        watching.add(end);
        signal.addEventListener('abort', end, { once: true });
      });
    },
    whenAllFree: () => (out === 0 ? Promise.resolve() : new Promise((resolve) => emptied.push(resolve))),
  };
}
