// Virtual time: a heap of calls, each at its moment; of two at one moment the seed says which is first.
//
// Promises: between two calls every promise that is ready has run; nothing real is ever waited for, so an hour
// costs what happens in it. A call that throws ends the run with its error, and so does a world that never comes to
// rest: by its count of calls, which is the same on every machine.

import { hashOf } from './draws.ts';

export type Timer = { cancel: () => void };
export type Clock = {
  readonly nowMs: () => number;
  readonly after: (ms: number, call: () => void) => Timer;
  // Resolves when `isOver` says so (asked before each call), or nothing is left to do.
  readonly run: (isOver: () => boolean) => Promise<void>;
  // Calls made so far.
  readonly calls: () => number;
};

// Some milliseconds of work.
const callsPerTurn = 500;
// Twenty times what the longest of a thousand worlds needs.
const callsMax = 300_000;

const ready = Promise.resolve();

export class EndlessError extends Error {}

type Entry = { readonly atMs: number; readonly tie: number; call: (() => void) | null };

export function createClock(seed: number): Clock {
  const heap: Entry[] = [];
  let nowMs = 0;
  let added = 0;
  let called = 0;

  function isBefore(one: Entry, other: Entry): boolean {
    return one.atMs < other.atMs || (one.atMs === other.atMs && one.tie < other.tie);
  }

  function push(entry: Entry): void {
    let index = heap.push(entry) - 1;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      const above = heap[parent] as Entry;
      if (!isBefore(entry, above)) break;
      heap[index] = above;
      index = parent;
    }
    heap[index] = entry;
  }

  function pop(): Entry | undefined {
    const first = heap[0];
    const last = heap.pop();
    if (first === undefined || last === undefined || first === last) return first;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= heap.length) break;
      const right = child + 1;
      if (right < heap.length && isBefore(heap[right] as Entry, heap[child] as Entry)) child = right;
      if (!isBefore(heap[child] as Entry, last)) break;
      heap[index] = heap[child] as Entry;
      index = child;
    }
    heap[index] = last;
    return first;
  }

  return {
    nowMs: () => nowMs,
    calls: () => called,
    after: (ms, call) => {
      added += 1;
      const entry: Entry = { atMs: nowMs + Math.max(0, ms), tie: hashOf(seed, added), call };
      push(entry);
      return { cancel: () => (entry.call = null) };
    },
    run: (isOver) =>
      new Promise((resolve, reject) => {
        // A tick that is asked for by a microtask comes when all microtasks have run: at a tenth of the cost of a
        // turn of the event loop, which is taken now and then for everything else that this process does.
        const next = () => process.nextTick(turn);
        const turn = () => {
          try {
            let entry: Entry | undefined;
            do {
              if (isOver()) return resolve();
              entry = pop();
              if (entry === undefined) return resolve();
            } while (entry.call === null);
            nowMs = entry.atMs;
            called += 1;
            if (called > callsMax) throw new EndlessError(`the world goes on and on: ${callsMax} calls, none the last`);
            entry.call();
          } catch (error) {
            return reject(error);
          }
          if (called % callsPerTurn === 0) setImmediate(turn);
          else void ready.then(next);
        };
        setImmediate(turn);
      }),
  };
}
