// The soak: an open load at 70 % of capacity for so many minutes, in which nothing may grow but what stays: orders,
// their events, documents and keys. Latency, memory and what is work in progress must stay flat.
//
// Promises: at its end every order that was accepted has ended once. Flat means that the last quarter is at most
// half above the first one (after the first samples, in which the process still compiles itself).

import type { Contender } from './contender.ts';
import { assertEndedOnce, sustain } from './measurements.ts';
import { processedAfterMs } from './open-load.ts';
import { median, quantiles } from './quantiles.ts';
import { againstSizes } from './sizes.ts';
import { linesSvg } from './svg.ts';
import { formatNumber } from './table.ts';
import { type Trial, withTrial } from './trial.ts';

const shareOfCapacity = 0.7;
const sampleSeconds = 15;
const connections = 256;
const flatRatio = 1.5;
// Tables whose rows go away again.
const passing = ['jobs', 'cursors', 'dependencies'];

type Sample = {
  readonly minute: number;
  readonly postP50: number;
  readonly postP99: number;
  readonly processedP50: number;
  readonly processedP99: number;
  readonly residentMb: number;
  // Tables with their indexes; what stays, in kB per order.
  readonly passingMb: number;
  readonly stayingPerOrder: number;
};
export type Soak = { readonly perSecond: number; readonly orders: number; readonly samples: readonly Sample[] };

export async function soak(contender: Contender, minutes: number, say: (text: string) => void): Promise<Soak> {
  return withTrial(contender, 'server', async (trial) => {
    let orders = 0;
    await trial.start();
    say('finding out the capacity');
    orders += (await trial.load({ kind: 'burst', orders: againstSizes.warmUp, connections: 64 })).accepted;
    const full = await sustain(trial, againstSizes, null);
    orders += full.accepted;
    const perSecond = full.finishedPerSecond * shareOfCapacity;
    say(`${formatNumber(perSecond)} orders per second for ${minutes} min`);
    const started = performance.now();
    const samples: Sample[] = [];
    while (performance.now() - started < minutes * 60_000) {
      const report = await trial.load({ kind: 'open', perSecond, seconds: sampleSeconds, connections });
      orders += report.accepted;
      const processed = quantiles(await processedAfterMs(trial, report));
      samples.push({
        minute: (performance.now() - started) / 60_000,
        postP50: report.postMs.p50,
        postP99: report.postMs.p99,
        processedP50: processed.p50,
        processedP99: processed.p99,
        residentMb: trial.residentMb(),
        ...(await sizesOf(trial, orders)),
      });
      const last = samples.at(-1);
      say(
        `minute ${last?.minute.toFixed(1)}: POST p99 ${formatNumber(last?.postP99 ?? Number.NaN)} ms, ${orders} orders`,
      );
    }
    await assertEndedOnce(trial, contender, orders);
    return { perSecond, orders, samples };
  });
}

async function sizesOf({ sql }: Trial, orders: number) {
  const [row] = await sql(
    `SELECT sum(pg_total_relation_size(relid)) FILTER (WHERE relname = ANY ($1))::float8 / 1e6 AS passing,
            sum(pg_total_relation_size(relid)) FILTER (WHERE relname <> ALL ($1))::float8 / 1e3 AS staying
     FROM pg_stat_user_tables`,
    [passing],
  );
  return { passingMb: Number(row?.passing), stayingPerOrder: Number(row?.staying) / orders };
}

const judged = {
  postP50: 'POST, p50, ms',
  postP99: 'POST, p99, ms',
  processedP50: 'POST to PROCESSED, p50, ms',
  processedP99: 'POST to PROCESSED, p99, ms',
  residentMb: 'resident memory, MB',
  passingMb: 'tables of work in progress, with indexes, MB',
  stayingPerOrder: 'what stays, per order, kB',
} as const satisfies Partial<Record<keyof Sample, string>>;

export function judgeSoak({ samples }: Soak): { readonly lines: readonly string[]; readonly isFlat: boolean } {
  const warm = samples.slice(Math.min(2, samples.length - 2));
  const quarter = Math.max(1, Math.floor(warm.length / 4));
  let isFlat = true;
  const lines = Object.entries(judged).map(([key, name]) => {
    const of = (some: readonly Sample[]) => median(some.map((sample) => sample[key as keyof typeof judged]));
    const [first, last] = [of(warm.slice(0, quarter)), of(warm.slice(-quarter))];
    const isKept = last <= first * flatRatio;
    isFlat &&= isKept;
    const verdict = isKept ? 'flat' : 'GROWS';
    return `${name.padEnd(46)} ${formatNumber(first).padStart(7)} → ${formatNumber(last).padStart(7)}  ${verdict}`;
  });
  return { lines, isFlat };
}

export function plotsOfSoak({ samples, perSecond }: Soak): Readonly<Record<string, string>> {
  const line = (name: string, key: keyof Sample) => ({
    name,
    points: samples.map((sample) => [sample.minute, sample[key]] as const),
  });
  const pace = `${formatNumber(perSecond)} orders per second`;
  return {
    'soak-latency.svg': linesSvg(`Latency at ${pace}, ms`, 'min', [
      line('POST, p50', 'postP50'),
      line('POST, p99', 'postP99'),
      line('PROCESSED, p50', 'processedP50'),
      line('PROCESSED, p99', 'processedP99'),
    ]),
    'soak-memory.svg': linesSvg(`Memory at ${pace}, MB`, 'min', [
      line('process', 'residentMb'),
      line('tables of passing rows', 'passingMb'),
    ]),
    'soak-size.svg': linesSvg(`Tables and indexes of what stays, kB per order`, 'min', [
      line('per order', 'stayingPerOrder'),
    ]),
  };
}
