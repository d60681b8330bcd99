// Waiting for a library no longer than we want to: libraries for brokers retry on their own terms, and few can
// be canceled.
//
// Promises: settles with what was asked, after `ms`, or when `signal` aborts, whichever is first; whoever was
// asked gets a signal that aborts as soon as nobody waits any more. What was given up may be done all the same,
// so everything asked through here may be repeated; its end is seen by nobody and cannot crash the process.

import type { System } from '../engine/ports.ts';

export type Bounds = {
  readonly what: string;
  // Absent = only the signal ends the wait.
  readonly ms?: number;
  readonly signal?: AbortSignal;
  readonly system: Pick<System, 'after'>;
};

export async function within<T>(bounds: Bounds, ask: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const { what, ms, signal, system } = bounds;
  signal?.throwIfAborted();
  const asked = new AbortController();
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  const abort = () => reject(signal?.reason instanceof Error ? signal.reason : new Error(`${what} was given up`));
  const late = () => reject(new Error(`${what} did not end within ${ms} ms`));
  const timer = ms === undefined ? null : system.after(ms, late);
  signal?.addEventListener('abort', abort, { once: true });
  Promise.try(ask, asked.signal).then(resolve, reject);
  try {
    return await promise;
  } finally {
    timer?.cancel();
    signal?.removeEventListener('abort', abort);
    asked.abort();
  }
}
