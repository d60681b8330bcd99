// `npm run bench`: measures Orderly over HTTP on this one machine, load and databases included, beside others,
// in interleaved rounds, and prints one table with the ratios first.
//
//   --against REV   beside another commit of Orderly
//   --only PART     a part of a round (may be repeated): idle, rest, sustained, burst, cost, embedded
//   --rounds N      how often everybody is measured
//   --orders N      the orders of a burst; everything else grows and shrinks with them
//
// Exit code 1 when a run failed, 2 when the options make no sense.

import { parseArgs } from 'node:util';
import { orderly, root } from './contender.ts';
import { describe, readMachine } from './machine.ts';
import { type Part, parts } from './measurements.ts';
import { checkOut } from './revision.ts';
import { runRounds } from './rounds.ts';
import { ordersOfABurst, sizesFor } from './sizes.ts';
import { formatTable } from './table.ts';

process.exitCode = await main();

async function main(): Promise<number> {
  const options = readOptions();
  if (typeof options === 'string') {
    process.stderr.write(`${options}\n`);
    return 2;
  }
  try {
    await runAgainst(options.against, options);
    return 0;
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    return 1;
  }
}

type Options = Exclude<ReturnType<typeof readOptions>, string>;

async function runAgainst(name: string, { rounds, orders, only }: Options): Promise<void> {
  const revision = await checkOut(name, tell);
  try {
    print(describe(readMachine()));
    const contenders = [orderly('this', root), orderly(name, revision.directory)];
    const columns = await runRounds(contenders, rounds, sizesFor(orders), only);
    print(`\n${formatTable(columns)}\n`);
    print('A ratio above 1: this one is better. Each order that was accepted has ended once.');
  } finally {
    revision.close();
  }
}

function readOptions() {
  try {
    const { values } = parseArgs({
      options: {
        against: { type: 'string' },
        only: { type: 'string', multiple: true },
        rounds: { type: 'string', default: '3' },
        orders: { type: 'string', default: String(ordersOfABurst) },
      },
    });
    if (values.against === undefined) return 'Say beside which commit: --against REV.';
    const unknown = values.only?.find((name) => !(parts as readonly string[]).includes(name));
    if (unknown !== undefined) return `--only ${unknown}: there is no such part; use ${parts.join(', ')}.`;
    const counts = { rounds: Number(values.rounds), orders: Number(values.orders) };
    for (const [name, count] of Object.entries(counts)) {
      if (!Number.isSafeInteger(count) || count < 1) return `--${name} must be a whole number above 0.`;
    }
    return { against: values.against, only: (values.only ?? parts) as readonly Part[], ...counts };
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
