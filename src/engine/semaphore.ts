// A semaphore with a fair queue.
//
// Promises: never more than `count` are out; who waits gets its turn in the order of asking, or rejects when the
// signal aborts. Everything is in memory and worth nothing after a crash.

export type Semaphore = {
  readonly acquire: (signal: AbortSignal) => Promise<void>;
  readonly release: () => void;
};

export function createSemaphore(count: number): Semaphore {
  let out = 0;
  const waiting = new Set<() => void>();

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
      if (next.done) out -= 1;
      else {
        // Its place passes on without being free in between.
        waiting.delete(next.value);
        next.value();
      }
    },
  };
}
