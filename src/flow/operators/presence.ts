// What this process tells others of itself, every few seconds: that it lives, what it works on, how its breakers stand.
//
// Promises: nothing in the flow depends on it. A process that dies says nothing more, and is not alive a few seconds
// later; one that stops takes its row along.

import type { Log, System } from '../../engine/ports.ts';
import type { BreakerChange, Process, ProcessState } from './waiting.ts';

const everyMs = 5_000;
// Three words that did not come.
export const silentMs = 15_000;
const changesMax = 20;

export type PresenceStore = {
  readonly tell: (id: string, startedAt: Date, state: ProcessState) => Promise<void>;
  readonly leave: (id: string) => Promise<void>;
};

export type Presence = {
  readonly breakerChanged: (name: string, state: 'open' | 'closed', code?: string) => void;
  readonly changes: () => readonly BreakerChange[];
  readonly self: () => Process;
  readonly run: (signal: AbortSignal) => Promise<void>;
};

export function createPresence(options: {
  // Null where nobody else could read it.
  readonly store: PresenceStore | null;
  readonly state: (changes: readonly BreakerChange[]) => ProcessState;
  readonly system: System;
  readonly log: Log;
}): Presence {
  const { store, state, system, log } = options;
  const startedAt = system.now();
  const id = system.newId();
  let changes: readonly BreakerChange[] = [];
  return {
    breakerChanged: (name, changed, code) => {
      const change = { at: system.now().toISOString(), name, state: changed, code: code ?? null };
      changes = [...changes, change].slice(-changesMax);
    },
    changes: () => changes,
    self: () => ({ ...state(changes), id, startedAt, seenAt: system.now(), isAlive: true }),
    run: async (signal) => {
      if (store === null) return;
      while (!signal.aborted) {
        await store.tell(id, startedAt, state(changes)).catch((error) => {
          log.debug({ error: String(error) }, 'what this process does could not be told');
        });
        await system.sleep(everyMs, signal);
      }
      await store.leave(id).catch(() => {});
    },
  };
}
