// `npm run chaos`: real processes on a real PostgreSQL, killed, frozen and stopped in the middle of work, as a
// seed says; then healed, and judged by what the customers, the database and the partners say.
//
// Promises: exit code 0 = every promise held. Nothing is judged by how long it took. Nothing is left running.

import { onStopSignal } from '../../src/io/signals.ts';
import { createSystem } from '../../src/io/system.ts';
import { until } from '../support/until.ts';
import { readArguments } from './arguments.ts';
import { type Customers, createCustomers } from './customers.ts';
import type { Finding } from './evidence.ts';
import { keepLogs, printFindings, printOrders } from './failure.ts';
import { judge } from './judge.ts';
import { startOperator } from './operator.ts';
import { print, printTable, progressLine, spellSeconds } from './page.ts';
import { type Asked, drawSchedule } from './schedule.ts';
import { leaseMs, openStand, type Stand, seatCount } from './stand.ts';

const progressMs = 2_000;
// With customers coming, somebody to take their orders and nothing down for more than seconds.
const standstillMs = 180_000;

process.exit(await main());

async function main(): Promise<number> {
  const asked = readArguments(process.argv.slice(2));
  if (typeof asked === 'number') return asked;
  const stop = new AbortController();
  // A second one ends at once; guardians outside of this process then do what `closings` would have done.
  onStopSignal(() => stop.abort(), createSystem());
  const stopped = new Promise<number>((resolve) => stop.signal.addEventListener('abort', () => resolve(130)));
  // Whoever read the output has gone.
  process.stdout.on('error', () => stop.abort());
  const closings: (() => Promise<void>)[] = [];
  let code = 1;
  try {
    code = await Promise.race([run(asked, stop.signal, (close) => closings.push(close)), stopped]);
  } finally {
    // The last that was opened is the first to close; what it says in closing is a failure too.
    for (const close of closings.reverse()) {
      await close().catch((error) => {
        if (stop.signal.aborted) return;
        print(`\n  BROKEN: ${(error as Error).message}`);
        code = 1;
      });
    }
  }
  return code;
}

async function run(asked: Asked, signal: AbortSignal, onClose: (close: () => Promise<void>) => void): Promise<number> {
  const startedMs = performance.now();
  const sinceMs = () => performance.now() - startedMs;
  const events: string[] = [];
  const tell = (event: string) => void events.push(`${(sinceMs() / 1000).toFixed(3)} ${event}`);
  const findings: Finding[] = [];
  const onDefect = (what: string, lastWords?: string) => {
    tell(`DEFECT: ${what}`);
    print(`${spellSeconds(sinceMs()).padStart(7)}   DEFECT: ${what}`);
    findings.push({ what, subjects: lastWords === undefined ? [] : [lastWords] });
  };
  print(`Seed ${asked.seed}: ${asked.kills} kills, ${asked.freezes} freezes, ${asked.crashes} database crashes\n`);
  let stand: Stand | null = null;
  let customers: Customers | null = null;
  try {
    stand = await openStand({ tell, onDefect, onClose });
    const { seats, sandbox } = stand;
    customers = createCustomers(seats, asked.seed);
    const { client } = customers;
    onClose(async () => client.leave());
    const operator = startOperator(seats, asked.seed, onDefect);
    const line = setInterval(
      () => stand && customers && print(progressLine(asked, stand, customers, sinceMs())),
      progressMs,
    );
    onClose(async () => clearInterval(line));

    await strikeAll(asked, stand, customers);
    await operator.stop();
    await Promise.all([sandbox, ...seats].map((seat) => seat.isRunning()));
    tell('everything is healed');
    await customers.stop().catch((error) => onDefect(`a customer could not go on: ${error}`));
    print(`${spellSeconds(sinceMs()).padStart(7)}   everything is healed; what is under way comes to its end`);
    findings.push(...(await judge(stand, customers, tell)));
    clearInterval(line);
    await printTable(stand, customers, operator.reprocessed(), sinceMs());
  } catch (error) {
    if (signal.aborted) return 130;
    findings.push({ what: 'the run broke off', subjects: [(error as Error).stack ?? String(error)] });
  }
  if (findings.length === 0) {
    print('\n  Every promise held.');
    return 0;
  }
  printFindings(findings);
  if (stand !== null) await printOrders(findings, stand);
  const place = keepLogs(asked.seed, events, findings, stand, customers);
  print(`\n  What everybody said lies in ${place}. The same faults again, though not the same run:`);
  print(
    `  npm run chaos -- --seed ${asked.seed} --kills ${asked.kills} --freezes ${asked.freezes} --crashes ${asked.crashes}`,
  );
  return 1;
}

// Resolves when every fault is over; a strike comes when so many orders were acknowledged since the one before.
async function strikeAll(asked: Asked, stand: Stand, { client, failed }: Customers): Promise<void> {
  const under: Promise<void>[] = [];
  let broken: unknown = null;
  for (const { afterOrders, faults } of drawSchedule(asked, seatCount, leaseMs)) {
    const enough = client.acknowledged.size + afterOrders;
    const isTime = () => client.acknowledged.size >= enough || failed() !== null || broken !== null;
    await until(isTime, `${enough} acknowledged orders`, { patienceMs: standstillMs });
    if (failed() !== null || broken !== null) break;
    for (const fault of faults) {
      const struck = stand.strike(fault);
      struck.catch((error) => {
        broken = error;
      });
      under.push(struck);
    }
  }
  await Promise.all(under);
}
