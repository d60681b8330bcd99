// A process of its own that computes simulations: one per core, and one for a test file, because the test runner
// watches every promise of its own process, which makes them four times as slow.
//
// Promises: tasks are run one after the other, each answered once. A worker that dies rejects what it was asked.

import { type ChildProcess, fork } from 'node:child_process';
import { canaries } from './canaries.ts';
import { type Judged, runMatrix } from './matrix.ts';
import { type Failure, runSeed } from './run.ts';
import { type Tally, tally } from './sometimes.ts';

export type Verdict = {
  readonly from: number;
  readonly count: number;
  readonly hashes: readonly string[];
  readonly failing: readonly { readonly seed: number; readonly failures: readonly Failure[] }[];
  readonly counters: Readonly<Record<string, number>>;
  readonly seen: readonly (readonly [string, number])[];
};
type Tasks = {
  seeds: { asked: { readonly from: number; readonly count: number }; answer: Verdict };
  // Whole, or until something is found.
  matrix: { asked: { readonly untilFound?: boolean }; answer: readonly Judged[] };
  // The first seed that sees it; null where none does.
  canary: { asked: { readonly name: string; readonly seeds: number }; answer: number | null };
};
type Task = { [T in keyof Tasks]: { readonly task: T } & Tasks[T]['asked'] }[keyof Tasks];

export type Worker = {
  readonly run: <T extends keyof Tasks>(task: { readonly task: T } & Tasks[T]['asked']) => Promise<Tasks[T]['answer']>;
  readonly end: () => void;
};

const isWorker = process.argv[2] === 'worker';
if (isWorker) process.on('message', (task: Task) => void perform(task).then((answer) => process.send?.({ answer })));

export function startWorker(): Worker {
  // Nobody reads the stacks of simulated troubles, and taking them costs a tenth of the time.
  const execArgv = ['--stack-trace-limit=0', '--max-semi-space-size=16'];
  const child: ChildProcess = fork(import.meta.filename, ['worker'], { execArgv });
  return {
    run: (task) =>
      new Promise((resolve, reject) => {
        const onExit = (code: number | null) => reject(new Error(`a worker process ended with exit code ${code}`));
        child.once('exit', onExit);
        child.once('message', ({ answer }: { answer: never }) => {
          child.off('exit', onExit);
          resolve(answer);
        });
        child.send(task);
      }),
    end: () => void child.kill(),
  };
}

async function perform(task: Task): Promise<unknown> {
  switch (task.task) {
    case 'seeds':
      return runSeeds(task.from, task.count);
    case 'matrix':
      return runMatrix(task.untilFound);
    case 'canary':
      return findCanary(task.name, task.seeds);
  }
}

async function runSeeds(from: number, count: number): Promise<Verdict> {
  const hashes: string[] = [];
  const failing: { seed: number; failures: readonly Failure[] }[] = [];
  const counters: Record<string, number> = {};
  const seen: Tally = new Map();
  for (let seed = from; seed < from + count; seed += 1) {
    const outcome = await runSeed(seed);
    hashes.push(outcome.traceHash);
    if (outcome.failures.length > 0) failing.push({ seed, failures: outcome.failures });
    for (const [name, times] of Object.entries(outcome.counters)) counters[name] = (counters[name] ?? 0) + times;
    tally(seen, outcome.evidence);
  }
  return { from, count, hashes, failing, counters, seen: [...seen] };
}

async function findCanary(name: string, seeds: number): Promise<number | null> {
  const spoil = canaries[name];
  if (spoil === undefined) throw new Error(`there is no canary ${name}`);
  for (let seed = 1; seed <= seeds; seed += 1) {
    if ((await runSeed(seed, { spoil })).failures.length > 0) return seed;
  }
  return null;
}
