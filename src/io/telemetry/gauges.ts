// Gauges of what lies outside the process: in the database, on the bus. They are asked for in the background.
//
// Promises: a scrape waits for nobody. One process asks the database, the one that relays, and it asks the rarer the
// longer the answer takes. What could not be had is kept for a minute and then absent, never a wrong number; how old
// the answers are is a gauge of its own.

import type { Registry } from 'prom-client';
import { createOutage } from '../../engine/outage.ts';
import type { Log, System } from '../../engine/ports.ts';
import { instruments } from './instruments.ts';

// A metric without its prefix, labels, value.
export type Sample = readonly [name: GaugeName, labels: Readonly<Record<string, string>>, value: number];

const helps = {
  jobs: 'Jobs by consumer and state: due and waiting for a worker, waiting for their time, claimed',
  job_oldest_due_seconds: 'For how long the oldest job that nobody works on has been due',
  jobs_stalled: 'Jobs that are older than ten minutes: their orders make no progress',
  dead_letters_open: 'Dead letters that wait for a person',
  paused: 'What people hold back: consumers, partners and single orders',
  unpublished_oldest_seconds: 'Age of the oldest event that the relay has not handled',
  unread_oldest_seconds: 'Age of the oldest event that this reader has not handled',
  unread_events: 'Events that this reader has not handled',
  bus_lag: 'Messages that wait for a group on the bus. The same from every process',
  database_dead_rows: 'Rows that are deleted and not yet removed, by table',
  database_oldest_transaction_seconds: 'Age of the oldest open transaction on the server: nothing younger is removed',
  database_size_bytes: 'Size of the database',
} as const;
export type GaugeName = keyof typeof helps;

const labels: Partial<Record<GaugeName, readonly string[]>> = {
  jobs: ['consumer', 'state'],
  job_oldest_due_seconds: ['consumer'],
  jobs_stalled: ['consumer'],
  dead_letters_open: ['consumer'],
  paused: ['kind'],
  unread_oldest_seconds: ['reader'],
  unread_events: ['reader'],
  bus_lag: ['group'],
  database_dead_rows: ['table'],
};

export type GaugeMetrics = {
  // Asks `source` again and again while it may, until the signal aborts.
  readonly keep: (source: Source, signal: AbortSignal) => Promise<void>;
};
export type Source = {
  readonly what: string;
  readonly read: () => Promise<readonly Sample[]>;
  // At the least between two questions, where the usual pause is too short.
  readonly everyMs?: number;
  // False = another process tells.
  readonly isOurs: () => boolean;
  readonly isTold: (error: unknown) => boolean;
  readonly system: System;
  readonly log: Log;
};

// Fresh enough for a scrape every 15 s.
const usualMs = 5_000;
// At a million jobs an answer takes half a second: at most one part in fifty of a core of the database.
const restFactor = 50;
const restMsMax = 15_000;
const keptMs = 60_000;

export function createGaugeMetrics(registry: Registry): GaugeMetrics {
  const { gauge, counter } = instruments(registry);
  const names = Object.keys(helps) as GaugeName[];
  const gauges = new Map(names.map((name) => [name, gauge(`orderly_${name}`, helps[name], labels[name] ?? [])]));
  // Without labels a gauge that is reset stands at 0, which would be a claim.
  const clear = (name: GaugeName) => {
    gauges.get(name)?.reset();
    if (labels[name] === undefined) gauges.get(name)?.remove();
  };
  for (const name of names) clear(name);
  const asked = gauge('orderly_gauges_updated_timestamp_seconds', 'When the source was last heard', ['source']);
  const failures = counter('orderly_gauges_failed_total', 'How often the source did not answer', ['source']);

  return {
    keep: async ({ what, read, everyMs = usualMs, isOurs, isTold, system, log }, signal) => {
      failures.inc({ source: what }, 0);
      const outage = createOutage({
        ...{ what: `reading metrics from the ${what}`, fails: 'fails', works: 'works again' },
        ...{ advice: 'they are absent meanwhile', isTold, log, system },
      });
      let shown = new Set<GaugeName>();
      let heardMs = Number.NEGATIVE_INFINITY;
      const show = (samples: readonly Sample[]) => {
        const now = new Set(samples.map(([name]) => name));
        for (const name of new Set([...shown, ...now])) clear(name);
        for (const [name, of, value] of samples) gauges.get(name)?.set(of, value);
        shown = now;
      };
      while (!signal.aborted) {
        const beganMs = system.monotonicMs();
        if (isOurs()) {
          try {
            show(await read());
            heardMs = system.monotonicMs();
            asked.set({ source: what }, system.now().getTime() / 1_000);
            outage.worked(what);
          } catch (error) {
            failures.inc({ source: what });
            outage.failed(what, error);
          }
        }
        if (!isOurs() || system.monotonicMs() - heardMs > keptMs) show([]);
        const tookMs = system.monotonicMs() - beganMs;
        await system.sleep(Math.max(everyMs, Math.min(restMsMax, tookMs * restFactor)), signal);
      }
      outage.left(what);
    },
  };
}
