// `npm run simulate`: seeds by the thousand on all cores, until one of them breaks a promise.
//
// Promises: a failing seed is printed with its story and the command that replays it, and ends the run with exit
// code 1. Interrupted, it says where to go on. A hash per 10 000 seeds tells whether two machines computed the
// same: it depends on the commit and on nothing else, not on the number of cores.

import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { onStopSignal } from '../../src/io/signals.ts';
import { createSystem } from '../../src/io/system.ts';
import { hashOf, hashOfText } from './draws.ts';
import type { Plan } from './plan.ts';
import { type Outcome, runSeed } from './run.ts';
import { missingOf, type Tally } from './sometimes.ts';
import { startWorker, type Verdict, type Worker } from './worker.ts';

const help = `
  npm run simulate -- [options]

  Runs the whole system in a simulated world, one world per seed: processes that die, freeze and wake, a bus
  that loses and lies, a database that breaks off, partners that act and do not answer. Each seed ends with
  the judgment of every invariant.

    --seeds N    how many seeds (default 1000)
    --from S     the first one (default 1); an interrupted run says where to go on
    --cores N    worker processes (default: all of this machine)
    --keep-on    goes on after a failing seed, and lists all of them in the end
    --seed S     replays one seed and tells its story
    --order ID   of that story only what is about this order
    --all        of that story every statement and message
    --help       this text

  Exit code 0: every promise held. 1: one was broken, or never put to the test. 2: the command is wrong.
  130: interrupted.
`;

// Seeds that a worker takes at once: a few seconds of work, so that an interrupted run loses little.
const sliceSeeds = 100;
const hashedSeeds = 10_000;
const reportEveryMs = 5_000;
// In fewer not everything can be asked to have happened.
const judgedSeeds = 1_000;

process.exitCode = await main(process.argv.slice(2));

async function main(argv: readonly string[]): Promise<number> {
  let asked: ReturnType<typeof readArguments>;
  try {
    asked = readArguments(argv);
  } catch (error) {
    return complain((error as Error).message);
  }
  if (asked.help) {
    process.stdout.write(help);
    return 0;
  }
  if (asked.seed === null && (asked.order !== null || asked.all))
    return complain('--order and --all tell of one seed: name it with --seed');
  if (asked.seed !== null) return replay(asked.seed, asked.order, asked.all);
  return runAll(asked);
}

function complain(mistake: string): number {
  process.stderr.write(`${mistake}\n${help}`);
  return 2;
}

function readArguments(argv: readonly string[]) {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      seeds: { type: 'string', default: '1000' },
      from: { type: 'string', default: '1' },
      cores: { type: 'string', default: String(availableParallelism()) },
      seed: { type: 'string' },
      order: { type: 'string' },
      all: { type: 'boolean', default: false },
      'keep-on': { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  const whole = (name: string, value: string) => {
    const number = Number(value);
    if (!Number.isSafeInteger(number) || number < 1)
      throw new Error(`--${name} ${value}: must be a whole number from 1`);
    return number;
  };
  return {
    seeds: whole('seeds', values.seeds),
    from: whole('from', values.from),
    cores: whole('cores', values.cores),
    seed: values.seed === undefined ? null : whole('seed', values.seed),
    order: values.order ?? null,
    all: values.all,
    keepsOn: values['keep-on'],
    help: values.help,
  };
}

async function runAll(asked: { seeds: number; from: number; cores: number; keepsOn: boolean }): Promise<number> {
  const startedMs = performance.now();
  const end = asked.from + asked.seeds;
  const workers: Worker[] = [];
  const done = new Map<number, Verdict>();
  const hashesOf = new Map<number, string[]>();
  const failing: number[] = [];
  const counters: Record<string, number> = {};
  const seen: Tally = new Map();
  let next = asked.from;
  let seeds = 0;
  // Everything before this seed is done.
  let reached = asked.from;
  let isInterrupted = false;

  const onInterrupt = () => {
    isInterrupted = true;
    for (const worker of workers) worker.end();
  };
  onStopSignal(onInterrupt, createSystem());
  const reporter = setInterval(report, reportEveryMs);

  const isOver = () => isInterrupted || next >= end || (failing.length > 0 && !asked.keepsOn);
  await Promise.all(Array.from({ length: Math.min(asked.cores, Math.ceil(asked.seeds / sliceSeeds)) }, work));
  clearInterval(reporter);
  report();
  return conclude();

  async function work(): Promise<void> {
    const worker = startWorker();
    workers.push(worker);
    try {
      while (!isOver()) {
        const from = next;
        const count = Math.min(sliceSeeds, end - from);
        next += count;
        take(await worker.run({ task: 'seeds', from, count }));
      }
    } catch (error) {
      if (!isInterrupted) throw error;
    } finally {
      worker.end();
    }
  }

  function take(verdict: Verdict): void {
    seeds += verdict.count;
    done.set(verdict.from, verdict);
    failing.push(...verdict.failing.map(({ seed }) => seed));
    for (const [name, times] of Object.entries(verdict.counters)) counters[name] = (counters[name] ?? 0) + times;
    for (const [name, times] of verdict.seen) seen.set(name, (seen.get(name) ?? 0) + times);
    // In the order of the seeds, whoever was first.
    for (let slice = done.get(reached); slice !== undefined; slice = done.get(reached)) {
      done.delete(reached);
      for (const [index, hash] of slice.hashes.entries()) keepHash(slice.from + index, hash);
      reached += slice.count;
    }
  }

  // Of each ten thousand: 1 to 10 000, 10 001 to 20 000 …
  function keepHash(seed: number, hash: string): void {
    const block = Math.floor((seed - 1) / hashedSeeds);
    const hashes = hashesOf.get(block) ?? [];
    hashes.push(hash);
    hashesOf.set(block, hashes);
    if (hashes.length < hashedSeeds) return;
    print(`  seeds ${block * hashedSeeds + 1} to ${(block + 1) * hashedSeeds}: hash ${combined(hashes)}`);
  }

  function report(): void {
    const seconds = (performance.now() - startedMs) / 1000;
    const rate = seeds / seconds;
    const left = rate === 0 ? '' : `, ${spell((asked.seeds - seeds) / rate)} to go`;
    print(
      `  ${seeds} of ${asked.seeds} seeds, ${rate.toFixed(1)} per second on ${workers.length} ${workers.length === 1 ? 'core' : 'cores'}${left}; ` +
        `go on with --from ${reached}`,
    );
  }

  async function conclude(): Promise<number> {
    const faults = Object.entries(counters).reduce(
      (sum, [name, times]) => (name.startsWith('fault') ? sum + times : sum),
      0,
    );
    print('');
    for (const [name, times] of Object.entries(counters).sort()) print(`  ${String(times).padStart(9)}  ${name}`);
    print(`\n  ${(faults / Math.max(1, seeds)).toFixed(1)} faults per seed`);
    for (const [block, hashes] of hashesOf) {
      const from = Math.max(asked.from, block * hashedSeeds + 1);
      if (hashes.length < hashedSeeds)
        print(`  seeds ${from} to ${from + hashes.length - 1}: hash ${combined(hashes)}`);
    }
    const missing = seeds < judgedSeeds ? [] : missingOf(seen);
    for (const { name, sentence } of missing) print(`  never happened: ${name}. ${sentence}`);
    failing.sort((one, other) => one - other);
    const [first] = failing;
    if (first !== undefined) {
      print(`\n  ${failing.length} failing: ${failing.slice(0, 20).join(' ')}`);
      await replay(first, null, false);
      return 1;
    }
    if (isInterrupted) {
      const block = reached - ((reached - 1) % hashedSeeds);
      const again = block < reached ? `, or from ${block} to have the hash of its ${hashedSeeds} too` : '';
      print(`\n  Interrupted. Go on with --from ${reached} --seeds ${end - reached}${again}`);
      return 130;
    }
    if (missing.length > 0) {
      print(`\n  ${seeds} seeds, every promise held, and the net has holes: what must happen in so many did not.`);
      return 1;
    }
    print(`\n  ${seeds} seeds, every promise held.`);
    return 0;
  }
}

async function replay(seed: number, order: string | null, isWhole: boolean): Promise<number> {
  const outcome = await runSeed(seed, { keepsLines: true });
  tell(outcome, order, isWhole);
  return outcome.failures.length > 0 ? 1 : 0;
}

// The plan, what is broken, and the story of the first order concerned.
export function tell(outcome: Outcome, order: string | null, isWhole: boolean): void {
  const { failures, seed } = outcome;
  const subject = order ?? failures.find((failure) => failure.orderId)?.orderId ?? null;
  print(`\n  Seed ${seed}`);
  for (const line of inWords(outcome.drawn)) print(`    ${line}`);
  print('');
  const story = isWhole || subject === null ? outcome.trace() : outcome.trace(subject);
  for (const line of story) print(`  ${line}`);
  if (story.length === 0) print(`  Nothing happened to ${subject}.`);
  print(`\n  trace hash ${outcome.traceHash}, ${(outcome.virtualMs / 1000).toFixed(1)} s of virtual time`);
  for (const failure of failures)
    print(`\n  BROKEN: ${failure.what}\n    ${failure.orderId ?? ''} ${failure.sentence}`);
  if (failures.length === 0) print('\n  Every promise held.');
  else print(`\n  Replay it: npm run simulate -- --seed ${seed}${subject === null ? '' : ` --order ${subject}`}`);
}

// A line per drawn value, of the faults those that there are.
function inWords({ faults, machines, bursts, ...others }: Plan): string[] {
  return [
    ...Object.entries(others).map(([name, value]) => `${name} ${JSON.stringify(value)}`),
    ...machines.map((machine) => `machine ${JSON.stringify(machine)}`),
    ...bursts.map((burst) => `burst ${JSON.stringify(burst)}`),
    ...Object.entries(faults).flatMap(([name, rate]) => (rate > 0 ? [`fault ${name} ${rate.toFixed(4)}`] : [])),
  ];
}

function combined(hashes: readonly string[]): string {
  let hash = 0;
  for (const one of hashes) hash = hashOf(hash, hashOfText(one));
  return hash.toString(16).padStart(8, '0');
}

function spell(seconds: number): string {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  return seconds < 5_400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3_600).toFixed(1)} h`;
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
