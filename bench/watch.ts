// Watches a load from beside it: how many orders are finished, and what the processes under load take of
// the machine, all from their metrics.
//
// Promises: counts are since the watch began. Somebody who waits for a number is told when nothing has
// moved for too long.

import { setTimeout as pause } from 'node:timers/promises';
import { type Connection, connect, get } from './http.ts';

// Counts since the start of the plan, `atMs` after it.
export type Sample = {
  readonly atMs: number;
  readonly accepted: number;
  readonly processed: number;
  // Also the last consumer, which tells the customer, is done with these.
  readonly finished: number;
  // Of the processes under load together: resident memory, and CPU since their start.
  readonly residentMb: number;
  readonly cpuSeconds: number;
};

const sampleEveryMs = 100;
// A run that makes no progress for so long is broken.
export const patienceMs = 60_000;
// The consumers that end an order's way, as the metrics name them.
const counted = { processed: 'fulfillment', finished: 'notification' } as const;

export type Watch = Awaited<ReturnType<typeof createWatch>>;

// Reads how many orders are finished, every so often from `start`, and whenever somebody waits for it.
export async function createWatch(ports: readonly number[], acceptedNow: () => number) {
  const connections = await Promise.all(ports.map(connect));
  const readOne = async (connection: Connection) => {
    const { status, body } = await connection.send(get('/metrics'));
    if (status !== 200) throw new Error(`the metrics were answered with ${status}`);
    const valueIn = (name: string) => {
      const at = body.indexOf(`\n${name} `);
      return at < 0 ? 0 : Number.parseFloat(body.slice(at + name.length + 2));
    };
    const doneBy = (consumer: string) => valueIn(`orderly_jobs_total{consumer="${consumer}",end="done"}`);
    return {
      processed: doneBy(counted.processed),
      finished: doneBy(counted.finished),
      residentMb: valueIn('process_resident_memory_bytes') / 1e6,
      cpuSeconds: valueIn('process_cpu_seconds_total'),
    };
  };
  const read = async () => {
    const all = await Promise.all(connections.map(readOne));
    const sum = (of: keyof (typeof all)[number]) => all.reduce((total, one) => total + one[of], 0);
    return {
      processed: sum('processed'),
      finished: sum('finished'),
      residentMb: sum('residentMb'),
      cpuSeconds: sum('cpuSeconds'),
    };
  };
  const base = await read();
  const started = performance.now();
  let current: Sample = { ...base, atMs: 0, accepted: 0, processed: 0, finished: 0 };
  const samples: Sample[] = [current];
  let bell = Promise.withResolvers<void>();
  let isStopped = false;

  async function sample(): Promise<void> {
    const seen = await read();
    const atMs = performance.now() - started;
    const accepted = acceptedNow();
    const processed = seen.processed - base.processed;
    current = { ...seen, atMs, accepted, processed, finished: seen.finished - base.finished };
    samples.push(current);
    bell.resolve();
    bell = Promise.withResolvers();
  }

  async function repeat(): Promise<void> {
    while (!isStopped) {
      await sample();
      await pause(sampleEveryMs);
    }
  }
  let repeating: Promise<void> | null = null;
  const start = () => {
    repeating ??= repeat();
  };

  return {
    samples,
    start,
    now: () => current,
    next: () => bell.promise,
    until: async (isReached: (sample: Sample) => boolean) => {
      start();
      let best = -1;
      let deadline = performance.now() + patienceMs;
      while (!isReached(current)) {
        await Promise.race([bell.promise, repeating]);
        if (current.finished > best) {
          best = current.finished;
          deadline = performance.now() + patienceMs;
        }
        if (performance.now() > deadline) throw new Error(`no progress any more: ${JSON.stringify(current)}`);
      }
    },
    stop: async () => {
      isStopped = true;
      await repeating;
      for (const connection of connections) connection.close();
    },
  };
}

export type Span = { readonly first: Sample; readonly last: Sample };

export function measuredSpan(samples: readonly Sample[], fromMs: number, toMs: number): Span {
  const first = samples.findLast(({ atMs }) => atMs <= fromMs);
  const later = samples.filter(({ atMs }) => atMs > (first?.atMs ?? 0));
  // On a machine that stood still there may be no look inside; then the next one after it counts.
  const last = later.findLast(({ atMs }) => atMs <= toMs) ?? later[0];
  if (first === undefined || last === undefined) throw new Error('nothing was seen of this load');
  return { first, last };
}

export function rate({ first, last }: Span, count: 'accepted' | 'processed' | 'cpuSeconds'): number {
  return ((last[count] - first[count]) / (last.atMs - first.atMs)) * 1000;
}
