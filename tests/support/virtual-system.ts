// A System that stands still: time moves when a test says so, chance and ids are the test's own.
//
// `advance` moves the clock from timer to timer and lets everything that follows from each of them run
// before the next, so that what a test sees depends on nothing but the code under test.

import { setImmediate as turn } from 'node:timers/promises';
import type { System } from '../../src/engine/ports.ts';

export type VirtualSystem = System & {
  readonly advance: (ms: number) => Promise<void>;
  // Lets everything run that waits for no clock.
  readonly calm: () => Promise<void>;
  // Timers that have not run yet.
  readonly timers: () => number;
};

const start = new Date('2026-11-21T07:00:00.000Z').getTime();

export function createVirtualSystem(options: { readonly random?: () => number } = {}): VirtualSystem {
  type Timer = { readonly dueMs: number; readonly call: () => void };
  const timers = new Set<Timer>();
  let nowMs = 0;
  let ids = 0;

  const after = (ms: number, call: () => void) => {
    const timer = { dueMs: nowMs + Math.max(0, ms), call };
    timers.add(timer);
    return { cancel: () => void timers.delete(timer) };
  };
  const next = (untilMs: number) =>
    [...timers].filter((timer) => timer.dueMs <= untilMs).sort((one, other) => one.dueMs - other.dueMs)[0];
  // One turn of the event loop runs every promise that is ready; a few more for those behind an event.
  const calm = async () => {
    for (let turns = 0; turns < 3; turns += 1) await turn();
  };
  const idOf = (version: number) => {
    ids += 1;
    return `00000000-0000-${version}000-8000-${ids.toString(16).padStart(12, '0')}`;
  };

  return {
    now: () => new Date(start + nowMs),
    monotonicMs: () => nowMs,
    after,
    sleep: (ms, signal) =>
      new Promise((resolve) => {
        if (signal?.aborted) return resolve();
        const timer = after(ms, () => {
          signal?.removeEventListener('abort', end);
          resolve();
        });
        const end = () => {
          timer.cancel();
          resolve();
        };
        signal?.addEventListener('abort', end, { once: true });
      }),
    random: options.random ?? (() => 0.5),
    newId: () => idOf(7),
    newToken: () => idOf(4),
    advance: async (ms) => {
      const untilMs = nowMs + ms;
      await calm();
      for (let timer = next(untilMs); timer !== undefined; timer = next(untilMs)) {
        timers.delete(timer);
        nowMs = timer.dueMs;
        timer.call();
        await calm();
      }
      nowMs = untilMs;
    },
    calm,
    timers: () => timers.size,
  };
}
