// The model of docs/scale.md: from what one order costs it says what a machine carries, how the database grows, and how
// many orders slow partners let through; then each of these is measured, on this machine, beside what was said.
//
// Promises: what is said comes from other orders than what is measured; every input is in the result, so that the document
// can be written anew by a run. At the end of each trial every order that was accepted has ended once.

import { setTimeout as pause } from 'node:timers/promises';
import { orderly, root } from './contender.ts';
import { countCost, settleMs } from './cost.ts';
import type { LoadReport } from './load.ts';
import { assertEndedOnce } from './measurements.ts';
import { formatNumber } from './table.ts';
import { type Trial, withTrial } from './trial.ts';

const load = { kind: 'sustained', seconds: Number.MAX_SAFE_INTEGER / 1000, rampSeconds: 0 } as const;
const closed = { ...load, connections: 64, unfinishedMax: 2_000 };
// Partners that take a second, and few calls at a time: what lets orders through is then neither CPU nor disk.
const slow = { concurrency: 64, delayMs: 1_000, orders: 1_500 };
const warmUp = 1_500;
const counted = 3_000;
// So often the database is measured: twice to know how it grows, once to see whether it did.
const grown = 4_500;
const grownLater = 9_000;

export type Inputs = {
  readonly cores: number;
  // Milliseconds per order, under full load.
  readonly processCpu: number;
  readonly postgresCpu: number;
  readonly loadCpu: number;
  readonly rows: number;
  readonly statements: number;
  readonly commits: number;
  // Kilobytes per order: written to the log of PostgreSQL, and kept in tables and indexes.
  readonly wal: number;
  readonly kept: number;
};
export type Check = { readonly what: string; readonly unit: string; readonly said: number; readonly measured: number };
export type Model = { readonly inputs: Inputs; readonly checks: readonly Check[] };

// A process works on one core; all of them together, and the load, on those of the machine.
export function ordersPerSecond({ cores, processCpu, postgresCpu, loadCpu }: Inputs): number {
  return Math.min(1_000 / processCpu, (cores * 1_000) / (processCpu + postgresCpu + loadCpu));
}

// Little's law: so many calls at a time, each of so long, for each of the steps, which work side by side. Of a backlog three
// quarters of them are the poller's; the rest is kept for what comes in (src/engine/slots.ts).
export function ordersPerSecondOfPartners(concurrency: number, callMs: number): number {
  return (Math.floor((concurrency * 3) / 4) * 1_000) / callMs;
}

export async function model(cores: number, say: (text: string) => void): Promise<Model> {
  const contender = orderly('Orderly', root);
  say('what an order costs, and how the database grows');
  const whole = await withTrial(contender, 'server', async (trial) => {
    const run = async (orders: number) => await trial.load({ ...closed, orders });
    const cost = await countCost(
      trial,
      () => run(warmUp),
      () => run(counted),
    );
    await trial.start();
    // A process that has just begun is still compiling itself.
    await run(warmUp);
    await pause(settleMs);
    const first = await keptKb(trial);
    const full = await underFullLoad(trial, () => run(grown));
    const second = await keptKb(trial);
    const kept = (second - first) / grown;
    say('how far it has grown');
    const again = await run(grownLater);
    await pause(settleMs);
    const third = await keptKb(trial);
    await assertEndedOnce(trial, contender, 2 * warmUp + counted + grown + again.accepted);
    const { rows = 0, statements = 0, commits = 0, wal = 0 } = cost;
    const inputs: Inputs = { cores, ...full, rows, statements, commits, wal, kept };
    return { inputs, again, growth: { said: (second + kept * grownLater) / 1_000, measured: third / 1_000 } };
  });
  say('slow partners');
  const settings = {
    ORDER_WORKER_CONCURRENCY: String(slow.concurrency),
    ORDER_WORKER_PROCESSING_DELAY_MS: String(slow.delayMs),
  };
  const limited = orderly('slow partners', root, settings);
  const through = await withTrial(limited, 'server', async (trial) => {
    await trial.start();
    const { accepted, finishedPerSecond } = await trial.load({ ...closed, orders: slow.orders });
    await assertEndedOnce(trial, limited, accepted);
    return finishedPerSecond;
  });
  const { inputs, again, growth } = whole;
  const partners = `a backlog, ${slow.concurrency} calls at a time of ${slow.delayMs / 1_000} s`;
  return {
    inputs,
    checks: [
      {
        what: 'orders through, all on this machine',
        unit: '/s',
        said: ordersPerSecond(inputs),
        measured: again.finishedPerSecond,
      },
      { what: `database after ${formatNumber(grownLater)} orders more`, unit: 'MB', ...growth },
      {
        what: `orders through, ${partners}`,
        unit: '/s',
        said: ordersPerSecondOfPartners(slow.concurrency, slow.delayMs),
        measured: through,
      },
    ],
  };
}

export function modelTables({ inputs, checks }: Model): string {
  const { cores, processCpu, postgresCpu, loadCpu, rows, statements, commits, wal, kept } = inputs;
  const line = (...cells: readonly (string | number)[]) =>
    `| ${cells.map((cell) => (typeof cell === 'number' ? formatNumber(cell) : cell)).join(' | ')} |`;
  return [
    '| one order | |',
    '|---|---|',
    line(
      'CPU: process, PostgreSQL, the load itself',
      [processCpu, postgresCpu, loadCpu].map((ms) => `${formatNumber(ms)} ms`).join(', '),
    ),
    line('rows written, statements, commits', [rows, statements, commits].map(formatNumber).join(', ')),
    line('WAL', `${formatNumber(wal)} kB`),
    line('kept: tables with indexes', `${formatNumber(kept)} kB`),
    line('cores of this machine', cores),
    '',
    '| orders a second, all day | cores for processes | cores for PostgreSQL | WAL, MB/s | kept, GB a day | kept, TB a year |',
    '|---|---|---|---|---|---|',
    ...[1, 10, 100, 1_000, 10_000].map((perSecond) => {
      const keptGb = (perSecond * 86_400 * kept) / 1e6;
      const cpu = [processCpu, postgresCpu].map((ms) => (perSecond * ms) / 1_000);
      return line(formatNumber(perSecond), ...cpu, (perSecond * wal) / 1_000, keptGb, (keptGb * 365) / 1_000);
    }),
    '',
    '| cores of PostgreSQL, half of them left free | orders a second | WAL, MB/s |',
    '|---|---|---|',
    ...[2, 4, 8, 16, 32].map((size) => {
      const perSecond = (size * 500) / postgresCpu;
      return line(formatNumber(size), perSecond, (perSecond * wal) / 1_000);
    }),
    '',
    '| | said by the model | measured | apart |',
    '|---|---|---|---|',
    ...checks.map(({ what, unit, said, measured }) =>
      line(`${what}, ${unit}`, said, measured, `${Math.round((measured / said - 1) * 100)} %`),
    ),
  ].join('\n');
}

async function underFullLoad(trial: Trial, run: () => Promise<LoadReport>) {
  const before = trial.cpu();
  const { accepted, cpuMs } = await run();
  await pause(settleMs);
  const after = trial.cpu();
  return {
    processCpu: (after.process - before.process) / accepted,
    postgresCpu: (after.postgres - before.postgres) / accepted,
    loadCpu: cpuMs / accepted,
  };
}

// What stays of orders: work in progress goes away, and its space is used again.
async function keptKb({ sql }: Trial): Promise<number> {
  const [row] = await sql(
    `SELECT sum(pg_total_relation_size(relid))::float8 / 1000 AS kb FROM pg_stat_user_tables
     WHERE relname NOT IN ('jobs', 'cursors', 'dependencies')`,
  );
  return Number(row?.kb);
}
