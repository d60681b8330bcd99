// Keeps the leases of everything this process is working on, in one statement per third of a lease.
//
// Promises: work whose lease could not be renewed is aborted, so that two workers rarely meet; that they
// never both take effect is the fencing token's promise, not this file's. Work shorter than a third of
// the lease is never renewed at all.
// Process dies here: the leases end by themselves and others take over.

import { createOutage } from './outage.ts';
import type { JobKey, Jobs, Log, System } from './ports.ts';

export type Held = JobKey & { readonly token: string };

export type Leases = {
  // Answers the signal that aborts when the lease is lost, and how to give the lease up.
  readonly hold: (held: Held) => { readonly signal: AbortSignal; readonly drop: () => void };
  // Aborts everything held, and what is held from now on: the process stops.
  readonly abortAll: () => void;
  readonly held: () => number;
  // All that is held, and for how long.
  readonly all: () => readonly (Held & { readonly forMs: number })[];
  readonly run: (signal: AbortSignal) => Promise<void>;
  // One renewal; `run` repeats it.
  readonly runOnce: () => Promise<void>;
};

export function createLeases(options: {
  readonly jobs: Pick<Jobs, 'renew'>;
  readonly leaseMs: number;
  readonly system: System;
  readonly log: Log;
  // True where what an error means is told by somebody else.
  readonly isTold?: (error: unknown) => boolean;
}): Leases {
  const { jobs, leaseMs, system, log, isTold } = options;
  const outage = createOutage({
    ...{ what: 'renewing leases', fails: 'fails', works: 'works again' },
    ...{ advice: 'work that is not renewed for a whole lease is given up', isTold, log, system },
  });
  const intervalMs = Math.floor(leaseMs / 3);
  type Entry = Held & { readonly sinceMs: number; readonly controller: AbortController };
  const entries = new Map<string, Entry>();
  // When the database last confirmed the leases that were old enough to ask for, by our own clock. One may
  // have been up to a third of a lease older, so it can be over that long before its work is aborted.
  let renewedAtMs = system.monotonicMs();
  let isStopping = false;
  const stop = (controller: AbortController) => controller.abort(new Error('the process is stopping'));

  async function runOnce(): Promise<void> {
    const nowMs = system.monotonicMs();
    const old = [...entries.values()].filter((entry) => nowMs - entry.sinceMs >= intervalMs);
    if (old.length === 0) {
      renewedAtMs = nowMs;
      return;
    }
    try {
      const lost = await jobs.renew(old);
      renewedAtMs = nowMs;
      outage.worked('renewal');
      for (const token of lost) {
        const entry = entries.get(token);
        if (entry === undefined) continue;
        const { consumer, subject, version } = entry;
        log.warn({ consumer, subject, version }, 'a lease is lost: the work is aborted');
        entry.controller.abort(new Error('the lease is lost'));
      }
    } catch (error) {
      outage.failed('renewal', error);
      if (system.monotonicMs() - renewedAtMs < leaseMs) return;
      for (const entry of old) entry.controller.abort(new Error('the lease could not be renewed in time'));
    }
  }

  return {
    hold: (held) => {
      const controller = new AbortController();
      // A claim that was on its way when the stop began.
      if (isStopping) stop(controller);
      entries.set(held.token, { ...held, sinceMs: system.monotonicMs(), controller });
      return { signal: controller.signal, drop: () => entries.delete(held.token) };
    },
    abortAll: () => {
      isStopping = true;
      for (const entry of entries.values()) stop(entry.controller);
    },
    held: () => entries.size,
    all: () =>
      [...entries.values()].map(({ controller: _, sinceMs, ...held }) => ({
        ...held,
        forMs: system.monotonicMs() - sinceMs,
      })),
    runOnce,
    run: async (signal) => {
      while (!signal.aborted) {
        await system.sleep(intervalMs, signal);
        await runOnce();
      }
      outage.left('renewal');
    },
  };
}
