// Waiting for a library's promise no longer than we want to: libraries for brokers retry on their own
// terms, and few can be canceled.
//
// Promises: the answer settles with the promise, after `ms`, or when the signal aborts, whichever is
// first. What was given up goes on by itself; its end is seen by nobody, and cannot crash the process.

import type { System } from '../../engine/ports.ts';

export function bounded<T>(
  promise: Promise<T>,
  options: { readonly ms: number; readonly what: string; readonly system: System; readonly signal?: AbortSignal },
): Promise<T> {
  const { ms, what, system, signal } = options;
  return new Promise<T>((resolve, reject) => {
    const give = (error: unknown) => {
      end();
      reject(error instanceof Error ? error : new Error(`${what} was given up`));
    };
    const abort = () => give(signal?.reason);
    const timer = system.after(ms, () => give(new Error(`${what} did not end within ${ms} ms`)));
    const end = () => {
      timer.cancel();
      signal?.removeEventListener('abort', abort);
    };
    promise.then(
      (value) => {
        end();
        resolve(value);
      },
      (error) => give(error),
    );
    if (signal?.aborted) abort();
    else signal?.addEventListener('abort', abort, { once: true });
  });
}
