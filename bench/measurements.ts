// The measurements: what is run, in which order, and which rows come of it.
//
// Promises: each measurement has its own server, database and process, and is repeated from nothing; an
// order that was accepted and is not PROCESSED at the end is a failure of the run, not a detail of it.
// Relies on subject.ts for the processes and load.ts for the load.

import { setTimeout as pause } from 'node:timers/promises';
import type { LoadReport } from './load.ts';
import { burstRows, fillRow, memoryRows, ms, sustainedRows, watchedRow } from './rows.ts';
import { createSubject, type Subject } from './subject.ts';
import { formatNumber, type Row } from './table.ts';

export type Sizes = {
  readonly warmUp: number;
  readonly idle: number;
  readonly burst: number;
  readonly fill: number;
  readonly embeddedBurst: number;
  readonly counted: number;
  readonly sustainedSeconds: number;
  readonly rampSeconds: number;
  readonly restSeconds: number;
};
export const fullSizes: Sizes = {
  warmUp: 3_000,
  idle: 300,
  burst: 20_000,
  fill: 100_000,
  embeddedBurst: 5_000,
  counted: 20_000,
  sustainedSeconds: 20,
  rampSeconds: 3,
  restSeconds: 10,
};
// Whether everything works; the numbers mean nothing.
export const quickSizes: Sizes = {
  warmUp: 200,
  idle: 20,
  burst: 500,
  fill: 2_000,
  embeddedBurst: 200,
  counted: 500,
  sustainedSeconds: 3,
  rampSeconds: 1,
  restSeconds: 2,
};

export type Raw = Readonly<Record<string, unknown>>;
export type Result = { readonly rows: readonly Row[]; readonly raw: Raw };
export type Measurement = (sizes: Sizes, say: (text: string) => void) => Promise<Result>;

export const measurements: Readonly<Record<string, Measurement>> = {
  postgres: (sizes, say) => onPostgres('PostgreSQL, from an empty database', 0, sizes, say),
  'postgres-full': (sizes, say) =>
    onPostgres(`PostgreSQL, after ${formatNumber(sizes.fill)} orders`, sizes.fill, sizes, say),
  embedded: onEmbedded,
  cost: countCost,
};

// As many requests as keep a group commit busy.
const connections = 64;
// Less than a second of work: enough that no consumer runs dry between two looks of the load.
export const unfinishedMax = 2_000;
const unfinishedMaxEmbedded = 500;
export const idleEveryMs = 60;
const askEveryMs = 2;

async function onPostgres(group: string, fill: number, sizes: Sizes, say: (text: string) => void): Promise<Result> {
  return withSubject({}, async (subject) => {
    await subject.start();
    say('warming up');
    const reports: Record<string, LoadReport> = {};
    reports.warmUp = await subject.load({ kind: 'burst', orders: sizes.warmUp, connections });
    if (fill > 0) {
      say(`placing ${formatNumber(fill)} orders`);
      reports.fill = await sustain(subject, { ...sizes, sustainedSeconds: 3_600 }, unfinishedMax, fill);
    }
    say('one order at a time');
    const paced = await subject.load({ kind: 'paced', orders: sizes.idle, everyMs: idleEveryMs });
    const idle = await processedAfter(subject, paced);
    const watched = await subject.load({ kind: 'watched', orders: Math.ceil(sizes.idle / 2), askEveryMs });
    say(`a burst of ${formatNumber(sizes.burst)}`);
    const burst = await subject.load({ kind: 'burst', orders: sizes.burst, connections });
    say('a sustained load');
    const sustained = await sustain(subject, sizes, unfinishedMax, null);
    const underLoad = await processedAfter(subject, sustained);
    await pause(sizes.restSeconds * 1000);
    const restedMb = await subject.residentMb();
    Object.assign(reports, { paced, watched, burst, sustained });
    await assertAllProcessed(subject, Object.values(reports));

    const rows: Row[] = [
      ...(reports.fill ? [fillRow(group, reports.fill)] : []),
      ...burstRows(group, burst, connections, { atLeast: 4_000 }),
      ...sustainedRows(group, sustained, unfinishedMax, { atLeast: 2_500 }),
      {
        group,
        name: 'sustained: create → PROCESSED, p50',
        value: underLoad.p50,
        unit: 'ms',
        how: `p99 ${ms(underLoad.p99)}; by the orders' own times, as below`,
      },
      {
        group,
        name: 'idle: create → PROCESSED, p50',
        value: idle.p50,
        unit: 'ms',
        goal: { atMost: 20 },
        how: `p99 ${ms(idle.p99)}; updated_at − created_at of ${sizes.idle} orders, read later`,
      },
      watchedRow(group, watched, askEveryMs),
      ...memoryRows(group, Object.values(reports), restedMb, sizes.restSeconds, { atMost: 300 }),
    ];
    return { rows, raw: { reports, idle, underLoad, restedMb } };
  });
}

async function onEmbedded(sizes: Sizes, say: (text: string) => void): Promise<Result> {
  const group = 'Embedded database';
  return withSubject(null, async (subject) => {
    await subject.start();
    say('warming up');
    await subject.load({ kind: 'burst', orders: sizes.warmUp, connections });
    say('one order at a time');
    const watched = await subject.load({ kind: 'watched', orders: Math.ceil(sizes.idle / 2), askEveryMs });
    say(`a burst of ${formatNumber(sizes.embeddedBurst)}`);
    const burst = await subject.load({ kind: 'burst', orders: sizes.embeddedBurst, connections });
    say('a sustained load');
    const sustained = await sustain(subject, sizes, unfinishedMaxEmbedded, null);
    await pause(sizes.restSeconds * 1000);
    const restedMb = await subject.residentMb();
    const rows = [
      ...burstRows(group, burst, connections),
      ...sustainedRows(group, sustained, unfinishedMaxEmbedded, { atLeast: 800 }),
      watchedRow(group, watched, askEveryMs),
      ...memoryRows(group, [burst, sustained], restedMb, sizes.restSeconds),
    ];
    return { rows, raw: { reports: { watched, burst, sustained }, restedMb } };
  });
}

// What one order costs the database, under load, all polls and renewals of that time included.
async function countCost(sizes: Sizes, say: (text: string) => void): Promise<Result> {
  const group = 'Cost of one order on PostgreSQL, under load';
  return withSubject({ shared_preload_libraries: 'pg_stat_statements' }, async (subject) => {
    const { sql } = subject;
    await sql('CREATE EXTENSION pg_stat_statements');
    await subject.start();
    say('warming up');
    await subject.load({ kind: 'burst', orders: sizes.warmUp, connections });
    // Backends hand in their counts when they end, so every count stands between two stops.
    await subject.stop();
    await sql('CHECKPOINT');
    await sql(`SELECT pg_stat_reset(), pg_stat_reset_shared('wal'), pg_stat_statements_reset()`);
    say(`counting ${formatNumber(sizes.counted)} orders`);
    await subject.start();
    const report = await sustain(
      subject,
      { ...sizes, rampSeconds: 0, sustainedSeconds: 3_600 },
      unfinishedMax,
      sizes.counted,
    );
    await subject.stop();
    const tables = await sql(
      `SELECT relname AS table, n_tup_ins::integer AS inserted, n_tup_upd::integer AS updated,
              n_tup_hot_upd::integer AS updated_hot, n_tup_del::integer AS deleted
       FROM pg_stat_user_tables WHERE n_tup_ins + n_tup_upd + n_tup_del > 0 ORDER BY 1`,
    );
    const [wal] = await sql(`SELECT wal_bytes::float8 AS bytes, wal_fpi::float8 AS pages FROM pg_stat_wal`);
    const [database] = await sql(
      `SELECT xact_commit::integer AS commits FROM pg_stat_database WHERE datname = current_database()`,
    );
    const statements = await sql(
      `SELECT calls::integer, rows::integer, round(total_exec_time::numeric, 1)::float8 AS ms, query FROM pg_stat_statements
       WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
         AND query !~* '^(begin|set|commit|rollback)' ORDER BY total_exec_time DESC`,
    );
    const orders = report.accepted;
    const writes = sum(tables, 'inserted') + sum(tables, 'updated') + sum(tables, 'deleted');
    const hot = sum(tables, 'updated_hot') / Math.max(1, sum(tables, 'updated'));
    const [calls, commits, walBytes, pages] = [
      sum(statements, 'calls'),
      Number(database?.commits),
      Number(wal?.bytes),
      Number(wal?.pages),
    ];
    const rows: Row[] = [
      {
        group,
        name: 'tuple writes',
        value: writes / orders,
        unit: '',
        goal: { atMost: 25 },
        how: `pg_stat_user_tables over ${formatNumber(orders)} orders; ${Math.round(hot * 100)} % of the updates are HOT`,
      },
      {
        group,
        name: 'WAL',
        value: walBytes / orders / 1000,
        unit: 'kB',
        how: `pg_stat_wal from a checkpoint on; ${formatNumber(pages)} full pages in it`,
      },
      {
        group,
        name: 'statements',
        value: calls / orders,
        unit: '',
        how: `pg_stat_statements without BEGIN, SET, COMMIT; ${formatNumber(commits / orders)} transactions`,
      },
    ];
    return { rows, raw: { report, tables, wal, database, statements: statements.slice(0, 40) } };
  });
}

async function withSubject(
  extra: Readonly<Record<string, string>> | null,
  measure: (subject: Subject) => Promise<Result>,
): Promise<Result> {
  const subject = await createSubject(extra);
  try {
    return await measure(subject);
  } finally {
    await subject.close();
  }
}

export function sustain(
  subject: Subject,
  sizes: Sizes,
  unfinished: number,
  orders: number | null,
): Promise<LoadReport> {
  const { sustainedSeconds: seconds, rampSeconds } = sizes;
  return subject.load({ kind: 'sustained', seconds, rampSeconds, orders, connections, unfinishedMax: unfinished });
}

// From the rows themselves, after the load: nothing is asked while it runs. Both times are taken in the
// process, the first before its commit, the second before its own.
export async function processedAfter({ sql }: Subject, { from, to }: LoadReport) {
  const [row] = await sql(
    `SELECT count(*)::integer AS orders, percentile_disc(0.5) WITHIN GROUP (ORDER BY ms) AS p50,
            percentile_disc(0.99) WITHIN GROUP (ORDER BY ms) AS p99
     FROM (SELECT extract(epoch FROM updated_at - created_at)::float8 * 1000 AS ms FROM orders
           WHERE created_at BETWEEN $1 AND $2 AND status = 'PROCESSED') o`,
    [from, to],
  );
  return { orders: Number(row?.orders), p50: Number(row?.p50), p99: Number(row?.p99) };
}

export async function assertAllProcessed({ sql }: Subject, reports: readonly LoadReport[]): Promise<void> {
  const accepted = reports.reduce((total, report) => total + report.accepted, 0);
  const statuses = await sql('SELECT status, count(*)::integer AS orders FROM orders GROUP BY status');
  const isWell = statuses.length === 1 && statuses[0]?.status === 'PROCESSED' && statuses[0].orders === accepted;
  if (!isWell) throw new Error(`${accepted} orders were accepted, but there are: ${JSON.stringify(statuses)}`);
}

function sum(rows: Awaited<ReturnType<Subject['sql']>>, column: string): number {
  return rows.reduce((total, row) => total + Number(row[column]), 0);
}
