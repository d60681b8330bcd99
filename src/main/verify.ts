// The role `verify`: checks the promises of verify-promises.ts on a live or stopped system.
//
// Promises: reads only, in short statements, a range of orders at a time; answers whether anything is
// violated. What keeps it from checking to the end is one sentence, and no verdict. On the embedded
// database it takes the directory, as the product does.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Log, System } from '../engine/ports.ts';
import { checkDay } from '../flow/verify/analytics.ts';
import { createOrderJudge } from '../flow/verify/order.ts';
import type { SeenOrder } from '../flow/verify/seen-order.ts';
import { lockDirectory } from '../io/directory-lock.ts';
import { createLedgerReader, LedgerUnreadableError } from '../io/partners/ledger-reader.ts';
import type { Database } from '../io/postgres/database.ts';
import { isAway } from '../io/postgres/errors.ts';
import { schemaMistake } from '../io/postgres/health.ts';
import { idBefore } from '../io/postgres/ids.ts';
import { createVerifyOrders, firstId, lastId, type Range } from '../io/postgres/verify.ts';
import { createVerifyAnalytics } from '../io/postgres/verify-analytics.ts';
import { createVerifyRows, type Part } from '../io/postgres/verify-rows.ts';
import type { Config } from './config.ts';
import { databaseName } from './database-name.ts';
import { openDatabase, openEmbedded, subscribedTypes } from './open-database.ts';
import { withoutSecrets } from './setting.ts';
import { StartError } from './start-error.ts';
import { createReconciliation } from './verify-ledger.ts';
import type { VerifyOptions } from './verify-options.ts';
import { type Counted, createReport, toTable, type Verdict } from './verify-report.ts';

type Surroundings = {
  readonly system: System;
  readonly signal: AbortSignal;
  // Null = nobody watches.
  readonly progress: ((text: string) => void) | null;
};

// Often enough to see that it goes on.
const progressMs = 200;

export async function runVerify(
  config: Config,
  options: VerifyOptions,
  parts: Surroundings & { readonly say: (text: string) => void },
): Promise<'ok' | 'violated'> {
  const unlock = config.database.url === null ? lockDirectory(existing(config.dataDir)) : () => {};
  try {
    const name = databaseName({ ...config.database, dataDir: config.dataDir });
    // Whoever forgot to say which database reads it first, and while it takes long already.
    const absent = config.database.url === null ? ', for DATABASE_URL is not set' : '';
    parts.progress?.(`Checking ${name}${absent}.\n`);
    const database = await open(config);
    try {
      const verdict = { database: name, ...(await verify(database, config, options, parts)) };
      parts.say(options.json ? JSON.stringify(verdict, null, 2) : `Checked ${name}${absent}.\n${toTable(verdict)}`);
      return verdict.status;
    } catch (error) {
      if (isAway(error))
        throw new StartError('The database went away before everything was checked: run verify again.');
      throw error;
    } finally {
      await database.close();
    }
  } finally {
    unlock();
  }
}

const silent: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

// Opening an embedded database would make one.
function existing(directory: string): string {
  if (existsSync(join(directory, 'postgres'))) return directory;
  throw new StartError(`There is no database in ${directory} to verify: set DATABASE_URL or ORDERLY_DATA_DIR.`);
}

async function open(config: Config): Promise<Database> {
  if (config.database.url !== null) return openDatabase(config, { system: null, log: silent }, 'reads');
  const database = await openEmbedded(config.dataDir, silent);
  const mistake = await schemaMistake(database, subscribedTypes);
  if (mistake === null) return database;
  await database.close();
  throw new StartError(mistake);
}

export async function verify(
  database: Database,
  config: Pick<Config, 'worker' | 'retention' | 'search'>,
  { since, ledgerUrl }: VerifyOptions,
  { system, signal, progress }: Surroundings,
): Promise<Verdict> {
  const startedMs = system.monotonicMs();
  const reads = createVerifyOrders(database);
  const rows = createVerifyRows(database);
  const report = createReport(ledgerUrl !== null);
  const { judge, isUndone } = createOrderJudge({ maxRetries: config.worker.maxRetries });
  const reconcile =
    ledgerUrl === null
      ? null
      : createReconciliation({
          reader: createLedgerReader({ url: ledgerUrl, system }),
          ordersAgain: reads.ordersAgain,
          isUndone,
          found: report.addAll,
          saw: (entries) => report.saw('entries', entries),
        });
  const tell = createTeller(progress, system, since === null ? await rows.estimate() : 0);
  const first = since === null ? firstId : idBefore(since);

  const load = async (after: string) => {
    const range = await reads.rangeAfter(after);
    const read = Promise.all([reads.orders(range), reads.orphans(range)]);
    // Whoever awaits it hears of its failure; it may come before anybody does.
    read.catch(() => {});
    return { range, read };
  };
  // The next range is read while this one is judged.
  for (let ahead: ReturnType<typeof load> | null = load(first); ahead !== null; ) {
    const { range, read }: Awaited<ReturnType<typeof load>> = await ahead;
    ahead = range.upTo === lastId ? null : load(range.upTo);
    ahead?.catch(() => {});
    const [orders, orphans] = await read;
    stopIfAsked(signal);
    for (const order of orders) report.addAll(judge(order));
    report.saw('orders', orders.length);
    report.saw(
      'rows',
      orders.reduce((sum, order) => sum + rowsOf(order), 0),
    );
    report.add('owners', orphans.findings, orphans.count);
    if (reconcile !== null) await reconciled(reconcile, range, orders, ledgerUrl ?? '');
    tell(`${report.orders()} orders`, report.orders());
  }
  await analyticsOfDays();
  await all('keys', rows.keys(since));
  for (const reader of ['relay', 'analytics', `search.${config.search.engine}`]) {
    await all('debts', rows.unread(reader, first));
  }
  tell(null, 0);
  return report.verdict(since, system.monotonicMs() - startedMs);

  async function analyticsOfDays(): Promise<void> {
    const analytics = createVerifyAnalytics(database);
    for (const day of await analytics.days(since)) {
      const found = await checkDay(analytics.reads, day, () => {
        stopIfAsked(signal);
        tell(`${report.orders()} orders, the analytics of ${day}`, report.orders());
      });
      report.saw('days', 1);
      report.addAll(found);
    }
  }

  async function all(unit: Counted, parts: AsyncIterable<Part>): Promise<void> {
    let seen = 0;
    for await (const part of parts) {
      stopIfAsked(signal);
      seen += part.seen;
      report.saw(unit, part.seen);
      for (const { promise, findings, count } of part.offenders) report.add(promise, findings, count);
      tell(`${report.orders()} orders, ${seen} ${unit} beside them`, report.orders());
    }
  }

  async function reconciled(
    compare: typeof reconcile & object,
    { after, upTo }: Range,
    orders: readonly SeenOrder[],
    url: string,
  ) {
    try {
      const ends = { after: after === firstId ? null : after, upTo: upTo === lastId ? null : upTo };
      await compare(ends, orders);
    } catch (error) {
      if (!(error instanceof LedgerUnreadableError)) throw error;
      throw new StartError(
        `The ledger at ${withoutSecrets(url)} ${error.message}: check the URL, and that a sandbox is running there.`,
      );
    }
  }
}

const rowsOf = ({ events, deadLetters }: SeenOrder) => events.length + deadLetters.length;

function stopIfAsked(signal: AbortSignal): void {
  if (signal.aborted) throw new StartError('Stopped before everything was checked: there is no verdict.');
}

// One line that is written over; null ends it.
function createTeller(progress: ((text: string) => void) | null, system: System, ordersAbout: number) {
  const startedMs = system.monotonicMs();
  let toldMs = startedMs;
  return (text: string | null, orders: number): void => {
    if (progress === null) return;
    const nowMs = system.monotonicMs();
    if (text === null) return progress('\r\u001b[K');
    if (nowMs - toldMs < progressMs) return;
    toldMs = nowMs;
    const about = ordersAbout > orders ? ` of about ${Math.round(ordersAbout)}` : '';
    const perSecond = Math.round(orders / ((nowMs - startedMs) / 1000));
    progress(`\r\u001b[K${text}${about}, ${perSecond} per second`);
  };
}
