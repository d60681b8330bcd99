// Latency under a load that does not wait: orders are due at a fixed pace, at shares of what the contender can do.
//
// Promises: a latency counts from the moment at which an order was due, so that a system that stands still is
// charged for everybody who waits meanwhile (no coordinated omission).

import type { LoadReport } from './load.ts';
import type { Numbers } from './metrics.ts';
import { quantiles } from './quantiles.ts';
import type { Trial } from './trial.ts';

// More than can be under way at once where nothing stands still.
const connections = 256;
const shares = [25, 50, 80] as const;

// `capacity`: orders per second of the closed loop.
export async function underOpenLoad(
  trial: Trial,
  capacity: number,
  seconds: number,
  count: (report: LoadReport) => LoadReport,
): Promise<Numbers> {
  const numbers: Numbers = {};
  for (const share of shares) {
    const perSecond = (capacity * share) / 100;
    const report = count(await trial.load({ kind: 'open', perSecond, seconds, connections }));
    const done = quantiles(await processedAfterMs(trial, report));
    numbers[`post${share}P50`] = report.postMs.p50;
    numbers[`post${share}P99`] = report.postMs.p99;
    numbers[`post${share}P999`] = report.postMs.p999;
    numbers[`done${share}P50`] = done.p50;
    numbers[`done${share}P99`] = done.p99;
    numbers[`done${share}P999`] = done.p999;
  }
  return numbers;
}

// From the moment at which an order was due until the row says PROCESSED, both by this machine's clock.
export async function processedAfterMs({ sql }: Trial, { dueMs }: LoadReport): Promise<number[]> {
  const rows = await sql(
    `SELECT id::text, extract(epoch FROM updated_at)::float8 * 1000 AS at FROM orders WHERE id = ANY ($1::uuid[])`,
    [Object.keys(dueMs)],
  );
  return rows.map(({ id, at }) => Number(at) - (dueMs[String(id)] ?? Number.NaN));
}
