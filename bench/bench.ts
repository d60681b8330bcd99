// `npm run bench`: measures Orderly over HTTP on this one machine, load and databases included, beside others,
// in interleaved rounds, and prints one table with the ratios first.
//
//   --against REV   beside another commit of Orderly, instead of the peers
//   --peer NAME     beside this one (may be repeated): pg-boss, graphile-worker, dbos, bullmq, floor
//   --guard         only whether an order costs no more than it may: counts, and CPU as a ratio to the floor
//   --only PART     a part of a round (may be repeated): idle, rest, sustained, open, burst, cost, embedded, kill
//   --rounds N      how often everybody is measured
//   --orders N      the orders of a burst; everything else grows and shrinks with them
//
// Exit code 1 when a run failed, 2 when the options make no sense.

import { parseArgs } from 'node:util';
import { type Contender, orderly, root } from './contender.ts';
import { guard } from './guard.ts';
import { describe, readMachine } from './machine.ts';
import { type Part, parts } from './measurements.ts';
import { openPeers, type PeerName, peerNames } from './peers.ts';
import { checkOut } from './revision.ts';
import { runRounds } from './rounds.ts';
import { againstSizes, peerSizes, type Sizes, scaled } from './sizes.ts';
import { formatTable } from './table.ts';

const againstParts: readonly Part[] = ['idle', 'rest', 'sustained', 'burst', 'cost', 'embedded'];
// What peers have as well.
const peerParts: readonly Part[] = ['idle', 'sustained', 'burst', 'cost'];

process.exitCode = await main();

async function main(): Promise<number> {
  const options = readOptions();
  if (typeof options === 'string') {
    process.stderr.write(`${options}\n`);
    return 2;
  }
  try {
    if (options.isGuard) return await runGuard();
    if (options.against === undefined) await runBesidePeers(options);
    else await runAgainst(options.against, options);
    return 0;
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    return 1;
  }
}

type Options = Exclude<ReturnType<typeof readOptions>, string>;

async function runAgainst(name: string, options: Options): Promise<void> {
  const revision = await checkOut(name, tell);
  try {
    await run([orderly('this', root), orderly(name, revision.directory)], options, againstSizes);
  } finally {
    revision.close();
  }
}

async function runBesidePeers(options: Options): Promise<void> {
  const { contenders, close } = await openPeers(options.peers, {}, tell);
  try {
    await run([orderly('Orderly', root), ...contenders], options, peerSizes);
  } finally {
    await close();
  }
}

async function runGuard(): Promise<number> {
  const { contenders, close } = await openPeers(['floor'], {}, tell);
  try {
    const verdict = await guard(orderly('Orderly', root), contenders[0] as Contender, print);
    return verdict === 'kept' ? 0 : 1;
  } finally {
    await close();
  }
}

async function run(contenders: readonly Contender[], { rounds, orders, only }: Options, whole: Sizes): Promise<void> {
  print(describe(readMachine()));
  const sizes = scaled(whole, orders ?? whole.burst);
  const columns = await runRounds(contenders, rounds, sizes, only);
  print(`\n${formatTable(columns)}\n`);
  print('A ratio above 1: the first one is better. Each order that was accepted has ended once.');
}

function readOptions() {
  try {
    const { values } = parseArgs({
      options: {
        against: { type: 'string' },
        guard: { type: 'boolean', default: false },
        peer: { type: 'string', multiple: true },
        only: { type: 'string', multiple: true },
        rounds: { type: 'string' },
        orders: { type: 'string' },
      },
    });
    const unknown = values.only?.find((name) => !(parts as readonly string[]).includes(name));
    if (unknown !== undefined) return `--only ${unknown}: there is no such part; use ${parts.join(', ')}.`;
    const stranger = values.peer?.find((name) => !(peerNames as readonly string[]).includes(name));
    if (stranger !== undefined) return `--peer ${stranger}: there is no such peer; use ${peerNames.join(', ')}.`;
    const count = (name: 'rounds' | 'orders') => (values[name] === undefined ? undefined : Number(values[name]));
    for (const name of ['rounds', 'orders'] as const) {
      const given = count(name) ?? 1;
      if (!Number.isSafeInteger(given) || given < 1) return `--${name} must be a whole number above 0.`;
    }
    const isAgainst = values.against !== undefined;
    return {
      isGuard: values.guard,
      against: values.against,
      peers: (values.peer ?? peerNames) as readonly PeerName[],
      only: (values.only ?? (isAgainst ? againstParts : peerParts)) as readonly Part[],
      rounds: count('rounds') ?? (isAgainst ? 3 : 2),
      orders: count('orders'),
    };
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function tell(text: string): void {
  process.stderr.write(`  ${text}\n`);
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}
