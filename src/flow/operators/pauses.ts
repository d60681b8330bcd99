// What people hold back, as this process knows it: read every second, asked before anything is taken.
//
// Promises: a pause reaches a process within two seconds, its end by time at that very time and never before; until the
// database answers again the last answer holds. Asking costs nothing, and no statement of an order asks. What runs goes
// on to its end.
// Process dies: the next one reads the pauses before it takes anything.

import { createOutage } from '../../engine/outage.ts';
import type { Log, System } from '../../engine/ports.ts';
import { createWakeup } from '../../engine/wakeup.ts';
import type { By } from '../ports.ts';

export const pauseKinds = ['consumer', 'partner', 'order'] as const;
export type PauseKind = (typeof pauseKinds)[number];
export type Pause = {
  readonly kind: PauseKind;
  // Of a consumer or a partner, or the id of an order.
  readonly name: string;
  readonly reason: string;
  readonly by: By;
  readonly at: Date;
  readonly until: Date | null;
  // From now, by the database's clock; null = until somebody resumes it.
  readonly endsInMs: number | null;
};

export type Pauses = {
  readonly isPaused: (kind: PauseKind, name: string) => boolean;
  readonly orders: () => readonly string[];
  readonly all: () => readonly Pause[];
  // Reads them anew. Rejects when the database does not answer.
  readonly refresh: () => Promise<void>;
  readonly run: (signal: AbortSignal) => Promise<void>;
};

const everyMs = 1_000;
// Where nobody else can pause anything, who does so has it read.
const quietMs = 60_000;

export function createPauses(options: {
  readonly read: () => Promise<readonly Pause[]>;
  readonly knowsAllWriters: boolean;
  // Something may go on.
  readonly onResumed: () => void;
  readonly system: System;
  readonly log: Log;
  readonly isTold?: (error: unknown) => boolean;
}): Pauses {
  const { read, knowsAllWriters, onResumed, system, log, isTold } = options;
  const outage = createOutage({
    ...{ what: 'reading what is paused', fails: 'fails', works: 'works again' },
    ...{ advice: 'what was paused stays paused', isTold, log, system },
  });
  const wakeup = createWakeup(system);
  type Known = { readonly pause: Pause; readonly endsAtMs: number };
  let known = new Map<string, Known>();
  const keyOf = ({ kind, name }: Pick<Pause, 'kind' | 'name'>) => `${kind} ${name}`;
  const holds = ({ endsAtMs }: Known) => system.monotonicMs() < endsAtMs;
  const held = () => [...known.values()].filter(holds).map(({ pause }) => pause);

  async function refresh(): Promise<void> {
    const rows = await read();
    // Counted from the answer, so that none ends too early; it may end later by the time that the answer took.
    const nowMs = system.monotonicMs();
    const before = held();
    known = new Map(
      rows.map((pause) => [keyOf(pause), { pause, endsAtMs: nowMs + (pause.endsInMs ?? Number.POSITIVE_INFINITY) }]),
    );
    const now = new Set(held().map(keyOf));
    for (const pause of held()) {
      if (!before.some((one) => keyOf(one) === keyOf(pause))) {
        const { kind, name, reason, by, until } = pause;
        log.info({ kind, name, reason, by, until }, 'a pause holds in this process from here on');
      }
    }
    if (before.some((pause) => !now.has(keyOf(pause)))) onResumed();
    wakeup.wake();
  }

  // Until the next one ends by itself.
  const nextEndMs = () =>
    Math.min(...[...known.values()].filter(holds).map(({ endsAtMs }) => endsAtMs - system.monotonicMs()));

  return {
    isPaused: (kind, name) => {
      if (known.size === 0) return false;
      const found = known.get(keyOf({ kind, name }));
      return found !== undefined && holds(found);
    },
    orders: () => (known.size === 0 ? [] : held().flatMap(({ kind, name }) => (kind === 'order' ? [name] : []))),
    all: held,
    refresh,
    run: async (signal) => {
      while (!signal.aborted) {
        const endMs = nextEndMs();
        const restMs = Math.min(knowsAllWriters ? quietMs : everyMs, endMs);
        await (knowsAllWriters ? wakeup.sleep(Math.ceil(restMs), signal) : system.sleep(Math.ceil(restMs), signal));
        if (signal.aborted) break;
        if (endMs === restMs) onResumed();
        if (knowsAllWriters) continue;
        await refresh().then(
          () => outage.worked('read'),
          (error) => outage.failed('read', error),
        );
      }
      outage.left('read');
    },
  };
}
