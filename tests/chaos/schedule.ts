// What is done to which process, and when: drawn from a seed, before anything runs.
//
// Promises: the same seed and numbers give the same schedule. "When" is told in orders: so many more have
// to be acknowledged before the next strike, whatever time that takes; within a strike, in milliseconds.

import { hashOf, hashOfText } from '../simulation/draws.ts';

// Of the `start` processes, by number.
type Seat = { readonly seat: number };
// Orders, in the middle of whose work it happens, are counted from the strike before.
export type Strike = { readonly afterOrders: number; readonly faults: readonly Fault[] };
export type Fault = { readonly offsetMs: number } & (
  | ({ readonly kind: 'kill'; readonly downMs: number } & Seat)
  | ({ readonly kind: 'freeze'; readonly lastsMs: number } & Seat)
  // A stop in order, as a platform does when it deploys.
  | ({ readonly kind: 'stop'; readonly downMs: number } & Seat)
  | { readonly kind: 'sandbox'; readonly downMs: number }
  | { readonly kind: 'database'; readonly how: Crash; readonly downMs: number }
);
// PostgreSQL's immediate stop; kill -9 of the server and its backends; kill -9 of the server alone.
export type Crash = 'immediate' | 'all' | 'server';

export type Asked = {
  readonly seed: number;
  readonly kills: number;
  readonly freezes: number;
  readonly crashes: number;
};

// For so many kills one stop in order and one kill of the sandbox are thrown in.
const killsPerExtra = 10;
// Some strikes come in quick succession, most let the system find its feet.
const ordersBetween = [2, 20, 50, 90, 140];
// At once, soon, and after the leases of the dead process have ended.
const downsMs = [0, 0, 200, 1_000, 4_000];
// Within what a request is held for, and beyond.
const databaseDownsMs = [0, 300, 2_000, 6_000];
// In leases: always past the end, sometimes past the second one too.
const freezeLeases = [1.2, 1.6, 2.5];
// Several at once: a third of the strikes.
const sizes = [1, 1, 1, 1, 2, 3];
// Apart from each other within a strike: while a database goes down and comes back, a process starts.
const offsetsMs = [0, 0, 50, 300, 1_000];

export function drawSchedule(asked: Asked, seats: number, leaseMs: number): readonly Strike[] {
  const { kills, freezes, crashes } = asked;
  const draw = createDraw(asked.seed);
  const seat = () => draw.below(seats);
  const offsetMs = () => draw.pick(offsetsMs);
  const downMs = () => draw.pick(downsMs);
  const extras = Math.ceil(kills / killsPerExtra);
  const times = <T>(count: number, one: () => T) => Array.from({ length: count }, one);
  const faults: Fault[] = [
    ...times(kills, () => ({ kind: 'kill', seat: seat(), offsetMs: offsetMs(), downMs: downMs() }) as const),
    ...times(freezes, () => {
      const lastsMs = Math.round(leaseMs * draw.pick(freezeLeases));
      return { kind: 'freeze', seat: seat(), offsetMs: offsetMs(), lastsMs } as const;
    }),
    ...times(crashes, () => {
      const how = draw.pick(['immediate', 'all', 'server'] as const);
      return { kind: 'database', how, offsetMs: offsetMs(), downMs: draw.pick(databaseDownsMs) } as const;
    }),
    ...times(extras, () => ({ kind: 'stop', seat: seat(), offsetMs: offsetMs(), downMs: downMs() }) as const),
    ...times(extras, () => ({ kind: 'sandbox', offsetMs: offsetMs(), downMs: downMs() }) as const),
  ];
  const shuffled = draw.shuffle(faults);
  const strikes: Strike[] = [];
  while (shuffled.length > 0) {
    const afterOrders = draw.pick(ordersBetween);
    strikes.push({ afterOrders, faults: shuffled.splice(0, draw.pick(sizes)) });
  }
  return strikes;
}

export type Draw = ReturnType<typeof createDraw>;

// For whoever is not the schedule: by name, so that the customers of one seed are not those of the next.
export const drawFor = (seed: number, name: string): Draw => createDraw(hashOf(seed, hashOfText(name)));

// Mulberry32: small, and good enough to be without a visible pattern.
function createDraw(seed: number) {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const below = (end: number) => Math.floor(next() * end);
  return {
    below,
    isHit: (probability: number) => next() < probability,
    pick: <T>(values: readonly T[]) => values[below(values.length)] as T,
    shuffle: <T>(values: readonly T[]): T[] => {
      const mixed = [...values];
      for (let last = mixed.length - 1; last > 0; last -= 1) {
        const other = below(last + 1);
        [mixed[last], mixed[other]] = [mixed[other] as T, mixed[last] as T];
      }
      return mixed;
    },
  };
}
