// `npm run bench`: measures Orderly over HTTP on this one machine, load and databases included, beside others,
// in interleaved rounds, and prints one table with the ratios first. Ten minutes as it stands.
//
//   --peer NAME     beside this one alone (may be repeated): pg-boss, graphile-worker, dbos, restate, bullmq, floor
//   --against REV   beside another commit of Orderly instead
//   --full          all parts, then the sustained load where something is in the way, and over each bus; an hour
//   --model         the model of docs/scale.md beside what it says of this machine; two minutes
//   --soak          70 % of capacity for --minutes N (30): nothing may grow but what stays
//   --guard         only whether an order costs no more than it may: counts, and CPU as a ratio to the floor
//   --telemetry     silent, with logs and metrics, and traced: what each costs, against its bound
//   --only PART     a part of a round (may be repeated): idle, rest, sustained, open, burst, cost, embedded, kill
//   --rounds N      how often everybody is measured
//   --orders N      the orders of a burst; everything else grows and shrinks with them
//   --save          writes numbers, plots and table to docs/benchmarks, or docs/scale.md
//
// Exit code 1 when a run failed, a bound is broken or something grows; 2 when the options make no sense.

import { type Contender, orderly, root } from './contender.ts';
import { save } from './document.ts';
import { guard } from './guard.ts';
import { describe, readMachine } from './machine.ts';
import type { Part } from './measurements.ts';
import { model, modelTables } from './model.ts';
import { type Options, readOptions } from './options.ts';
import { openPeers } from './peers.ts';
import { checkOut } from './revision.ts';
import { runRounds } from './rounds.ts';
import { openBuses, situations } from './situations.ts';
import { againstSizes, peerSizes, type Sizes, scaled } from './sizes.ts';
import { judgeSoak, plotsOfSoak, soak } from './soak.ts';
import { barsSvg } from './svg.ts';
import { type Column, formatNumber, formatTable, markdownTable, medianOf, ratioOf } from './table.ts';
import { judgeTold, openTold } from './telemetry.ts';

const againstParts: readonly Part[] = ['idle', 'rest', 'sustained', 'burst', 'cost', 'embedded'];
const peerParts: readonly Part[] = ['idle', 'sustained', 'burst', 'cost'];
const fullParts: readonly Part[] = ['idle', 'rest', 'sustained', 'open', 'burst', 'cost', 'embedded', 'kill'];
const toldParts: readonly Part[] = ['sustained', 'cost'];
const situationParts: readonly Part[] = ['idle', 'sustained'];

// What the machine itself takes now and then is below this.
const busyCores = 0.25;

const modes = {
  peers: besidePeers,
  against: besideRevision,
  guard: guarded,
  soak: soaked,
  full: everything,
  telemetry: toldOf,
  model: modeled,
};
const command = ['npm run bench --', ...process.argv.slice(2)].join(' ').replace(/ --$/, '');

process.exitCode = await main();

async function main(): Promise<number> {
  const options = readOptions();
  if (typeof options === 'string') {
    process.stderr.write(`${options}\n`);
    return 2;
  }
  try {
    return await modes[options.mode](options);
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    return 1;
  }
}

async function besideRevision(options: Options): Promise<number> {
  const revision = await checkOut(options.against, tell);
  try {
    const contenders = [orderly('this', root), orderly(options.against, revision.directory)];
    await measured(contenders, options, againstSizes, 3, againstParts);
    return 0;
  } finally {
    revision.close();
  }
}

async function besidePeers(options: Options): Promise<number> {
  const machine = readMachine();
  const { contenders, close } = await openPeers(options.peers, {}, tell);
  try {
    const columns = await measured([orderly('Orderly', root), ...contenders], options, peerSizes, 2, peerParts);
    if (options.isSaved) {
      const results = { columns };
      save({
        name: 'peers',
        document: 'benchmarks.md',
        command,
        machine,
        results,
        text: markdownTable(columns),
        plots: plotsOf(columns),
      });
    }
    return 0;
  } finally {
    await close();
  }
}

async function everything(options: Options): Promise<number> {
  const peers = await openPeers(options.peers, {}, tell);
  try {
    await measured([orderly('Orderly', root), ...peers.contenders], options, peerSizes, 2, fullParts);
  } finally {
    await peers.close();
  }
  for (const { name, orderly: settings, peers: peerSettings, isSnapshotHeld } of situations) {
    print(`\n${name}:`);
    const { contenders, close } = await openPeers(peerSettings === null ? [] : options.peers, peerSettings ?? {}, tell);
    try {
      const met = [orderly('Orderly', root, settings), ...contenders].map((each) => ({ ...each, isSnapshotHeld }));
      const all = peerSettings === null ? [...met, orderly('nothing in the way', root)] : met;
      await measured(all, options, peerSizes, 1, situationParts);
    } finally {
      await close();
    }
  }
  print('\nOver each bus, as one process:');
  const buses = await openBuses();
  try {
    await measured([orderly('in memory', root), ...buses.contenders], options, peerSizes, 1, situationParts);
  } finally {
    await buses.close();
  }
  return 0;
}

async function guarded(): Promise<number> {
  const { contenders, close } = await openPeers(['floor'], {}, tell);
  try {
    const verdict = await guard(orderly('Orderly', root), contenders[0] as Contender, print);
    return verdict === 'kept' ? 0 : 1;
  } finally {
    await close();
  }
}

async function toldOf(options: Options): Promise<number> {
  const { contenders, close } = await openTold();
  try {
    const { lines, isKept } = judgeTold(await measured(contenders, options, peerSizes, 3, toldParts));
    for (const line of lines) print(line);
    return isKept ? 0 : 1;
  } finally {
    await close();
  }
}

async function soaked({ minutes, isSaved }: Options): Promise<number> {
  const machine = readMachine();
  print(describe(machine));
  const results = await soak(orderly('Orderly', root), minutes, tell);
  const { lines, isFlat } = judgeSoak(results);
  const pace = `${formatNumber(results.orders)} orders, ${formatNumber(results.perSecond)} per second, first and last quarter:`;
  const text = ['```', pace, ...lines, '```'].join('\n');
  print(`\n${[pace, ...lines].join('\n')}`);
  if (isSaved)
    save({ name: 'soak', document: 'benchmarks.md', command, machine, results, text, plots: plotsOfSoak(results) });
  return isFlat ? 0 : 1;
}

async function modeled({ isSaved }: Options): Promise<number> {
  const machine = readMachine();
  print(describe(machine));
  const results = await model(machine.cores, tell);
  const text = modelTables(results);
  print(`\n${text}`);
  if (isSaved) save({ name: 'model', document: 'scale.md', command, machine, results, text, plots: {} });
  return 0;
}

async function measured(
  contenders: readonly Contender[],
  { rounds, orders, parts }: Options,
  whole: Sizes,
  usualRounds: number,
  usualParts: readonly Part[],
): Promise<readonly Column[]> {
  print(describe(readMachine()));
  const sizes = scaled(whole, orders ?? whole.burst);
  const columns = await runRounds(contenders, rounds ?? usualRounds, sizes, parts ?? usualParts);
  print(`\n${formatTable(columns)}\n`);
  print('A ratio above 1: the first one is better. Each order that was accepted has ended once.');
  const others = Math.max(...columns.flatMap((column) => column.rounds.map((round) => round.others ?? 0)));
  if (others > busyCores)
    print(`Others kept up to ${formatNumber(others)} cores busy meanwhile: do not trust the numbers.`);
  return columns;
}

function plotsOf(columns: readonly Column[]): Readonly<Record<string, string>> {
  const [first] = columns;
  const bars = (key: 'sustained' | 'processCpu' | 'postgresCpu', unit: string) =>
    columns.map((column) => {
      const value = medianOf(column, key);
      const ratio = first === column ? '' : `  (Orderly: ${formatNumber(ratioOf(first as Column, column, key))}×)`;
      return { name: column.name, value, label: `${formatNumber(value)} ${unit}${ratio}` };
    });
  return {
    'peers-orders.svg': barsSvg('Orders per second, POST to finished, sustained', bars('sustained', '/s')),
    'peers-process.svg': barsSvg('CPU of the process per order, ms', bars('processCpu', 'ms')),
    'peers-postgres.svg': barsSvg('CPU of PostgreSQL per order, ms', bars('postgresCpu', 'ms')),
  };
}

function tell(text: string): void {
  process.stderr.write(`  ${text}\n`);
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}
