// `npm run mutants`: breaks the code on purpose, one patch at a time, and expects the test that the
// patch names to go red; with `--simulation` the simulation instead. A net that lets one through proves nothing.
//
// Promises: a patch that does not apply, names no existing test, or is not caught by exactly the named test ends
// the run with exit 1. A test that does not end has shown nothing yet: it is asked again alone, beside the same test
// without the patch, and counts as caught only where that one ends long before.

import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { eachOnCores, inCopy, type Patch, type Ran, readPatches, run } from './patches.ts';
import { judgeBySimulation } from './simulation.ts';

// A mutant may make its test hang; a healthy one needs a fraction of this.
const patienceMs = 60_000;
// Without the patch the test ends well within the patience, so that a slow machine is no reason.
const healthyMsMax = 15_000;

type Verdict = { readonly patch: Patch; readonly caught: boolean; readonly why: string };

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    simulation: { type: 'boolean', default: false },
    cores: { type: 'string', default: String(Math.min(2, availableParallelism())) },
    // `2/3` = every third patch, beginning with the second.
    part: { type: 'string', default: '1/1' },
  },
});
const [nth = 1, parts = 1] = values.part.split('/').map(Number);
const patches = (await readPatches(positionals)).filter((_, index) => index % parts === nth - 1);
const cores = Math.max(1, Number(values.cores) || 1);
if (patches.length === 0) {
  process.stderr.write(`No patch in tests/mutants matches ${positionals.join(' ')}.\n`);
  process.exitCode = 2;
} else if (values.simulation) {
  const isAsked = positionals.length > 0;
  process.exitCode = (await judgeBySimulation(patches, { cores, isAsked })) ? 0 : 1;
} else {
  process.exitCode = (await judgeByTests()) ? 0 : 1;
}

async function judgeByTests(): Promise<boolean> {
  const verdicts: Verdict[] = [];
  const endless: Patch[] = [];
  await eachOnCores(patches, cores, async (patch) => {
    const verdict = await judge(patch);
    if (verdict === null) endless.push(patch);
    else say(verdict);
  });
  for (const patch of endless) say(await judgeAlone(patch));
  const missed = verdicts.filter((verdict) => !verdict.caught).length;
  process.stdout.write(`\n${verdicts.length - missed} passed, ${missed} failed\n`);
  return missed === 0;

  function say(verdict: Verdict): void {
    verdicts.push(verdict);
    const mark = verdict.caught ? 'caught ' : 'MISSED ';
    process.stdout.write(`${mark} ${verdict.patch.name.padEnd(46)} ${verdict.patch.breaks}\n`);
    if (!verdict.caught) process.stdout.write(`        ${verdict.why}\n`);
  }
}

// Null where the test did not end.
async function judge(patch: Patch): Promise<Verdict | null> {
  const tested = await testIn(patch, patch);
  if (typeof tested === 'string') return { patch, caught: false, why: tested };
  return tested.code === null ? null : { patch, ...read(tested, patch) };
}

async function judgeAlone(patch: Patch): Promise<Verdict> {
  const healthy = await testIn(patch, null);
  if (typeof healthy === 'string' || healthy.code !== 0 || healthy.ms > healthyMsMax) {
    return { patch, caught: false, why: 'the test did not end, and without the patch it does not end quickly either' };
  }
  return (await judge(patch)) ?? { patch, caught: true, why: '' };
}

function testIn(patch: Patch, applied: Patch | null): Promise<Ran | string> {
  const pattern = `^${patch.test.replace(/[.*+?^${}()|[\]\\/]/g, '\\$&')}$`;
  const args = ['--test', '--test-reporter=tap', `--test-name-pattern=${pattern}`, patch.file];
  return inCopy(applied, (copy) => run(process.execPath, args, copy, patienceMs));
}

function read(tested: Ran, patch: Patch): { caught: boolean; why: string } {
  const line = tested.output.split('\n').find((one) =>
    one
      .trim()
      .replace(/ # .*$/, '')
      .endsWith(`- ${patch.test}`),
  );
  if (line === undefined) return { caught: false, why: `no test of this name in ${patch.file}, or it did not run` };
  if (line.trim().startsWith('not ok')) return { caught: true, why: '' };
  return { caught: false, why: 'the test stays green' };
}
