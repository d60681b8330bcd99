// The simulation as the judge of the patches: seed after seed until one breaks a promise, then the situations
// that no seed has met any more, then the crash matrix.
//
// Promises: a patch is found by what the simulation said, never by a wall clock: a world that does not come to an end
// is cut off by its own count of calls, and one that spins without it is reported as not found. The unpatched
// tree is judged first, and must be found innocent. A patch that says why it is unseen is not looked for unless it is
// named, and fails when it is found after all.

import { fork } from 'node:child_process';
import { join } from 'node:path';
import { invariants } from '../simulation/invariants.ts';
import type { Judged } from '../simulation/matrix.ts';
import { sometimes } from '../simulation/sometimes.ts';
import type { Verdict } from '../simulation/worker.ts';
import { eachOnCores, inCopy, type Patch } from './patches.ts';

const seedsMax = 100;
// A situation that the seeds meet this often without the patch does not stay away by luck.
const frequent = 20;
// A seed takes a fraction of a second, the whole matrix some; this is for what spins outside of the virtual time.
const seedPatienceMs = 60_000;
const matrixPatienceMs = 300_000;
const heapMegabytesMax = 1_000;
// What a run calls a mistake of its own, where something else is broken too.
const itself = 'the simulation itself works';

type Found = { readonly by: string; readonly after: string };
type Look = { readonly found: Found | null; readonly why: string; readonly seen: ReadonlyMap<string, number> };

export async function judgeBySimulation(
  patches: readonly Patch[],
  options: { readonly cores: number; readonly isAsked: boolean },
): Promise<boolean> {
  const innocent = await inCopy(null, (copy) => look(copy, new Map()));
  if (typeof innocent === 'string' || innocent.found !== null || innocent.why !== 'nothing was seen') {
    const why = typeof innocent === 'string' ? innocent : (innocent.found?.by ?? innocent.why);
    process.stdout.write(`The tree itself is not innocent: ${why}\n`);
    return false;
  }
  const expected = new Map([...innocent.seen].filter(([, times]) => times >= frequent));
  const count = { found: 0, unseen: 0, missed: 0 };
  const say = (patch: Patch, is: keyof typeof count, by: string, after = '') => {
    count[is] += 1;
    const mark = is === 'missed' ? 'MISSED ' : '       ';
    process.stdout.write(`${mark}${patch.name.padEnd(42)} ${(is === 'unseen' ? is : after).padEnd(10)} ${by}\n`);
  };
  await eachOnCores(patches, options.cores, async (patch) => {
    const { unseen } = patch;
    if (unseen !== null && !options.isAsked) return say(patch, 'unseen', unseen);
    const looked = await inCopy(patch, (copy) => look(copy, expected));
    if (typeof looked === 'string') return say(patch, 'missed', looked);
    const { found, why } = looked;
    if (found === null) return unseen === null ? say(patch, 'missed', why) : say(patch, 'unseen', unseen);
    if (unseen === null) return say(patch, 'found', found.by, found.after);
    say(patch, 'missed', `it says that it cannot be seen, and is: ${found.by}`, found.after);
  });
  process.stdout.write(`\n${count.found} found, ${count.unseen} cannot be seen, ${count.missed} missed\n`);
  return count.missed === 0;
}

// Everything that the simulation has, until something is found.
async function look(copy: string, expected: ReadonlyMap<string, number>): Promise<Look> {
  const worker = startIn(copy);
  const seen = new Map<string, number>();
  try {
    for (let seed = 1; seed <= seedsMax; seed += 1) {
      const verdict = await worker.ask<Verdict>({ task: 'seeds', from: seed, count: 1 }, seedPatienceMs);
      if (typeof verdict === 'string') return { found: null, why: `seed ${seed} ${verdict}`, seen };
      const failures = verdict.failing.flatMap((failing) => failing.failures);
      const broken = failures.find(({ what }) => what !== itself) ?? failures[0];
      if (broken !== undefined) return { found: { by: broken.what, after: `seed ${seed}` }, why: '', seen };
      for (const [name, times] of verdict.seen) seen.set(name, (seen.get(name) ?? 0) + times);
    }
    const missing = sometimes.find(({ name }) => expected.has(name) && (seen.get(name) ?? 0) === 0);
    if (missing !== undefined) {
      return { found: { by: `never happened: ${missing.name}`, after: `${seedsMax} seeds` }, why: '', seen };
    }
    const judged = await worker.ask<readonly Judged[]>({ task: 'matrix', untilFound: true }, matrixPatienceMs);
    if (typeof judged === 'string') return { found: null, why: `the matrix ${judged}`, seen };
    const red = judged.find(({ failure }) => failure !== null);
    if (red === undefined) return { found: null, why: 'nothing was seen', seen };
    return { found: { by: `${red.name}: ${shortOf(red.failure ?? '')}`, after: 'matrix' }, why: '', seen };
  } finally {
    worker.end();
  }
}

// Of a failure in the matrix the case, or else the first invariant that it broke, without ids and figures.
function shortOf(failure: string): string {
  const [first = ''] = failure.split('\n');
  const [theCase] = first.split(', at time ');
  if (theCase !== undefined && theCase !== first) return theCase;
  const broken = failure.split('\n').find((line) => invariants.some(({ name }) => line.startsWith(`${name}: `)));
  if (broken !== undefined) return broken.slice(0, broken.indexOf(': '));
  return /^(never happened|complained|no story comes by)/.test(first) ? first : 'something is still owed in the end';
}

// The worker of the copy, so that it runs the patched code; an answer in words is why there is none.
function startIn(copy: string) {
  const execArgv = ['--stack-trace-limit=0', '--max-semi-space-size=16', `--max-old-space-size=${heapMegabytesMax}`];
  const child = fork(join(copy, 'tests/simulation/worker.ts'), ['worker'], { execArgv, silent: true });
  return {
    ask: <T>(task: object, patienceMs: number) =>
      new Promise<T | string>((resolve) => {
        const timer = setTimeout(() => resolve('did not end'), patienceMs);
        const onExit = (code: number | null) => answer(`ended its process with exit code ${code}`);
        const answer = (value: T | string) => {
          clearTimeout(timer);
          child.off('exit', onExit);
          resolve(value);
        };
        child.once('exit', onExit);
        child.once('message', ({ answer: value }: { answer: T }) => answer(value));
        child.send(task);
      }),
    end: () => void child.kill('SIGKILL'),
  };
}
