// How many orders a system has finished, read from a counter in the memory of its processes (`/metrics`).
//
// Promises: counts begin when it is created. Somebody who waits is told when nothing moves any more. What was
// finished is judged by the database when the load is over; this only paces the load and times its end.

import { setTimeout as pause } from 'node:timers/promises';
import { connect, get } from './http.ts';

// A regular expression for one line of `/metrics`, with the number as its group.
export type ProgressSource = { readonly pattern: string };
export type Seen = { readonly atMs: number; readonly finished: number };
export type Progress = Awaited<ReturnType<typeof createProgress>>;

// A reading costs the process a millisecond or two: one in a hundred of what it has.
const everyMs = 200;
const patienceMs = 60_000;

export async function createProgress(port: number, { pattern }: ProgressSource) {
  const connection = await connect(port);
  const expression = new RegExp(pattern, 'm');
  const read = async () => {
    const { status, body } = await connection.send(get('/metrics'));
    if (status !== 200) throw new Error(`the metrics were answered with ${status}`);
    return Number(expression.exec(body)?.[1] ?? 0);
  };
  const base = await read();
  const started = performance.now();
  let current: Seen = { atMs: 0, finished: 0 };
  let bell = Promise.withResolvers<void>();
  let isStopped = false;

  const repeating = (async () => {
    while (!isStopped) {
      const finished = (await read()) - base;
      current = { atMs: performance.now() - started, finished };
      bell.resolve();
      bell = Promise.withResolvers();
      await pause(everyMs);
    }
  })();

  return {
    now: () => current,
    // Fails with what ended the reading.
    next: () => Promise.race([bell.promise, repeating]),
    until: async (finished: number) => {
      let movedAtMs = performance.now();
      let best = 0;
      while (current.finished < finished) {
        await Promise.race([bell.promise, repeating]);
        if (current.finished > best) {
          best = current.finished;
          movedAtMs = performance.now();
        }
        if (performance.now() - movedAtMs > patienceMs) {
          throw new Error(`nothing moves any more: ${current.finished} of ${finished} orders are finished`);
        }
      }
    },
    stop: async () => {
      isStopped = true;
      await repeating;
      connection.close();
    },
  };
}
