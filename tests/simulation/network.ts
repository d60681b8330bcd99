// Everything between a process and what it calls: latency, and what may go wrong at a border.
//
// Promises: every call of a partner or the bus goes through `call`, every statement through connection.ts,
// and both ask the same `Faults` what happens there. A request that was sent has its effect even if its
// sender dies; an answer that was lost is an error to the caller and an effect to the world.

import type { Clock } from './clock.ts';
import type { Draws } from './draws.ts';
import { type Life, never } from './life.ts';
import { silence } from './partners.ts';
import type { Trace } from './trace.ts';

// What goes wrong at a border, before or after the effect. `crash`: the process is killed. `freeze`: it stands
// still, and wakes. `lose`: the connection breaks. `silence`: no answer, until the caller gives up. `refuse`:
// the other side says no, without effect.
export type Mishap = {
  readonly at: 'before' | 'after';
  readonly what: 'crash' | 'freeze' | 'lose' | 'silence' | 'refuse';
  // How long: until the dead process starts again, until the frozen one wakes; null = by the plan.
  readonly ms?: number;
  // The error of a `refuse`; a `silence` before the effect may have it all the same, this much later.
  readonly error?: () => Error;
  readonly landsAfterMs?: number;
  // Of a `lose`: only one side hears of it; and the process stands still before it does.
  readonly isHalfOpen?: boolean;
  readonly freezesMs?: number;
};

export type Faults = {
  // At a call of a partner or the bus, by its label.
  readonly atCall: (life: Life, label: string) => Mishap | null;
  // At statements that travel together; answers which of them it is about.
  readonly atStatements: (life: Life, labels: readonly string[]) => (Mishap & { readonly index: number }) | null;
  // At the opening of a connection to the database.
  readonly atConnect: (life: Life) => 'refused' | 'silence' | null;
};

export type Counters = {
  readonly count: (name: string, by?: number) => void;
  readonly all: () => Record<string, number>;
};

export function createCounters(): Counters {
  const counts = new Map<string, number>();
  return {
    count: (name, by = 1) => void counts.set(name, (counts.get(name) ?? 0) + by),
    all: () => Object.fromEntries([...counts].sort(([one], [other]) => (one < other ? -1 : 1))),
  };
}

export type World = {
  readonly clock: Clock;
  readonly draws: Draws;
  readonly trace: Trace;
  readonly counters: Counters;
  readonly faults: Faults;
  // Kills the machine of a life; it starts again after `ms`, or when the plan says so.
  readonly kill: (life: Life, ms?: number) => void;
};

export type Call<A> = {
  readonly life: Life;
  readonly label: string;
  readonly subject: string | null;
  readonly latencyMs: readonly [number, number];
  readonly signal: AbortSignal;
  // The effect, and the answer. May throw what the other side would answer as an error.
  readonly act: () => A | typeof silence;
  // The error that a caller sees whose connection broke, and one that gave up waiting.
  readonly lost: () => Error;
  readonly gaveUp: () => Error;
};

export function createNetwork(world: World) {
  const { clock, draws, trace, counters, faults } = world;

  function call<A>(asked: Call<A>): Promise<A> {
    const { life, label, subject, signal } = asked;
    if (life.isOver()) return never();
    const latency = draws(`${life.machine} ${label} latency`);
    const [minMs, maxMs] = asked.latencyMs;
    return new Promise<A>((resolve, reject) => {
      let isOpen = true;
      const answer = (settle: () => void, ms = latency.between(minMs, maxMs)) =>
        clock.after(ms, () =>
          life.resume(() => {
            if (!isOpen) return;
            isOpen = false;
            signal.removeEventListener('abort', giveUp);
            settle();
          }),
        );
      const giveUp = () => {
        if (!isOpen) return;
        isOpen = false;
        reject(asked.gaveUp());
      };
      signal.addEventListener('abort', giveUp, { once: true });

      const act = (mishap: Mishap | null) => {
        let settle: () => void;
        let outcome = 'ok';
        try {
          const value = asked.act();
          if (value === silence) return trace.note(life.name, label, 'silence', subject);
          settle = () => resolve(value);
        } catch (error) {
          outcome = 'no';
          settle = () => reject(error as Error);
        }
        trace.note(life.name, label, outcome, subject);
        if (mishap === null) return void answer(settle);
        trace.note(life.name, label, `after: ${mishap.what}`, subject);
        counters.count(`fault: ${mishap.what} after ${kindOf(label)}`);
        if (mishap.what === 'crash') return world.kill(life, mishap.ms);
        if (mishap.what === 'freeze') life.freeze(mishap.ms ?? 0);
        if (mishap.freezesMs !== undefined) life.freeze(mishap.freezesMs);
        if (mishap.what === 'silence') return;
        const error = mishap.what === 'refuse' ? mishap.error : mishap.what === 'lose' ? asked.lost : undefined;
        answer(error === undefined ? settle : () => reject(error()));
      };

      const arrive = () => {
        const mishap = life.isOver() || life.isFrozen() ? null : faults.atCall(life, label);
        if (mishap === null || mishap.at === 'after') return act(mishap);
        trace.note(life.name, label, `before: ${mishap.what}`, subject);
        counters.count(`fault: ${mishap.what} before ${kindOf(label)}`);
        switch (mishap.what) {
          case 'crash':
            return world.kill(life, mishap.ms);
          case 'freeze':
            // It stood still with the request in its hands.
            life.freeze(mishap.ms ?? 0);
            return life.resume(() => void clock.after(latency.between(minMs, maxMs), () => act(null)));
          case 'lose':
            return void answer(() => reject(asked.lost()));
          case 'refuse': {
            const error = mishap.error?.() ?? asked.lost();
            return void answer(() => reject(error));
          }
          case 'silence':
            if (mishap.landsAfterMs !== undefined)
              clock.after(mishap.landsAfterMs, () => act({ at: 'after', what: 'silence' }));
        }
      };
      clock.after(latency.between(minMs, maxMs), arrive);
    });
  }

  return { call };
}

const kindOf = (label: string) => label.slice(0, Math.max(0, label.indexOf('.'))) || label;
