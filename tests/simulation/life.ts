// One life of a simulated process, from its start to its death, and what it means to be frozen.
//
// Promises: after its death no line of it runs again, neither `catch` nor `finally`, as after kill -9: whatever
// comes for it is dropped. While it is frozen everything that comes for it is held back, timers too, and it
// goes on with all of it when it wakes, not knowing that time has passed: a zombie.

import type { System } from '../../src/engine/ports.ts';
import type { Clock } from './clock.ts';
import type { Draws } from './draws.ts';

export type Life = {
  readonly machine: string;
  // The machine and which of its lives this is: `worker-1.3`.
  readonly name: string;
  readonly isOver: () => boolean;
  readonly isFrozen: () => boolean;
  // Runs a call inside the process: at once, when it wakes, or never.
  readonly resume: (call: () => void) => void;
  readonly freeze: (ms: number) => void;
  readonly end: () => void;
  // Runs at the death, outside the process: what its operating system does (sockets close).
  readonly onEnd: (call: () => void) => void;
  readonly onFreeze: (call: (ms: number) => void) => void;
};

// The simulation begins here by the wall clocks of the world.
export const epochMs = Date.parse('2026-11-21T07:00:00.000Z');

// A promise that nobody settles: what a dead process waits for.
export const never = <T>(): Promise<T> => new Promise(() => {});

export function createLife(machine: string, nth: number, clock: Clock): Life {
  let isOver = false;
  let wakesAtMs = 0;
  let held: (() => void)[] = [];
  const endings: (() => void)[] = [];
  const freezings: ((ms: number) => void)[] = [];

  // What was held back runs one by one, a turn each, like anything that arrives.
  function wake(): void {
    if (isOver || clock.nowMs() < wakesAtMs) return;
    const calls = held;
    held = [];
    let order = 0;
    for (const call of calls) {
      order += 1;
      clock.after(order / 1e6, () => resume(call));
    }
  }

  function resume(call: () => void): void {
    if (isOver) return;
    if (clock.nowMs() < wakesAtMs) held.push(call);
    else call();
  }

  return {
    machine,
    name: `${machine}.${nth}`,
    isOver: () => isOver,
    isFrozen: () => clock.nowMs() < wakesAtMs,
    resume,
    freeze: (ms) => {
      if (isOver) return;
      wakesAtMs = Math.max(wakesAtMs, clock.nowMs() + ms);
      clock.after(wakesAtMs - clock.nowMs(), wake);
      for (const call of freezings) call(ms);
    },
    end: () => {
      if (isOver) return;
      isOver = true;
      held = [];
      for (const call of endings) call();
    },
    onEnd: (call) => endings.push(call),
    onFreeze: (call) => freezings.push(call),
  };
}

// The timers of a process, which may be late: see laziness.ts.
export type Laziness = (ms: number, fire: () => void) => { cancel: () => void };

export function createLifeSystem(options: {
  readonly life: Life;
  readonly clock: Clock;
  readonly draws: Draws;
  // This machine's wall clock is this far off, and runs this much faster.
  readonly skewMs: number;
  readonly drift: number;
  readonly timer: Laziness;
}): System {
  const { life, clock, draws, skewMs, drift, timer } = options;
  const random = draws(`${life.machine} random`);
  const ids = draws(`${life.machine} ids`);
  const wallMs = () => epochMs + clock.nowMs() * drift + skewMs;

  const after = (ms: number, call: () => void) => {
    let isCanceled = false;
    const fire = () => {
      if (!isCanceled) call();
    };
    const set = timer(ms, () => life.resume(fire));
    return {
      cancel: () => {
        isCanceled = true;
        set.cancel();
      },
    };
  };

  const hex = (value: number, digits: number) => value.toString(16).padStart(digits, '0').slice(-digits);
  const idOf = (head: string, version: string) => {
    const one = ids.bits();
    const other = hex(ids.bits(), 8);
    return `${head}-${version}${hex(one, 3)}-8${hex(one >>> 12, 3)}-${hex(one >>> 16, 4)}${other}`;
  };

  return {
    now: () => new Date(wallMs()),
    monotonicMs: () => clock.nowMs() * drift,
    after,
    sleep: (ms, signal) =>
      new Promise((resolve) => {
        if (signal?.aborted) return resolve();
        const end = () => {
          set.cancel();
          signal?.removeEventListener('abort', end);
          resolve();
        };
        const set = after(ms, end);
        signal?.addEventListener('abort', end, { once: true });
      }),
    random: random.next,
    newId: () => {
      const time = hex(Math.floor(wallMs()), 12);
      return idOf(`${time.slice(0, 8)}-${time.slice(8)}`, '7');
    },
    newToken: () => {
      const bits = hex(ids.bits(), 8);
      return idOf(`${bits}-${hex(ids.bits(), 4)}`, '4');
    },
  };
}
