// A bounded number of slots, shared by a consumer's hints and its poller.
//
// Promises: never more than `count` are out. The poller, which has the oldest work, goes ahead of hints
// until it holds its share; the rest stays with hints, so that neither starves. Everything is in memory and
// worth nothing after a crash.

export type Slots = {
  // One slot for a hint, or false: a hint never waits.
  readonly tryAcquire: () => boolean;
  // One to `max` slots for the poller as soon as there is one; 0 when the signal aborts.
  readonly acquireUpTo: (max: number, signal: AbortSignal) => Promise<number>;
  readonly release: (whose: 'hint' | 'poller') => void;
  readonly whenAllFree: () => Promise<void>;
};

export function createSlots(count: number): Slots {
  // Three quarters, and with a single slot that one.
  const pollerMax = Math.max(1, Math.floor((count * 3) / 4));
  let free = count;
  let ofPoller = 0;
  let wake: (() => void) | null = null;
  let emptied: (() => void)[] = [];

  const forPoller = () => Math.min(free, pollerMax - ofPoller);

  return {
    tryAcquire: () => {
      const isPollersTurn = wake !== null && ofPoller < pollerMax;
      if (free === 0 || isPollersTurn) return false;
      free -= 1;
      return true;
    },
    acquireUpTo: async (max, signal) => {
      while (forPoller() === 0 && !signal.aborted) {
        await new Promise<void>((resolve) => {
          const end = () => {
            signal.removeEventListener('abort', end);
            resolve();
          };
          wake = end;
          signal.addEventListener('abort', end, { once: true });
        });
        wake = null;
      }
      if (signal.aborted) return 0;
      const taken = Math.min(max, forPoller());
      free -= taken;
      ofPoller += taken;
      return taken;
    },
    release: (whose) => {
      free += 1;
      if (whose === 'poller') ofPoller -= 1;
      if (forPoller() > 0) wake?.();
      if (free < count) return;
      for (const call of emptied) call();
      emptied = [];
    },
    whenAllFree: () => (free === count ? Promise.resolve() : new Promise((resolve) => emptied.push(resolve))),
  };
}
