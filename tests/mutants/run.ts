// `npm run mutants`: breaks the code on purpose, one patch at a time, and expects the test that the
// patch names to go red. A net that lets one through proves nothing.
//
// Promises: the working tree is never touched: each patch is applied to a copy; a patch that does not
// apply, names no existing test, or is not caught by exactly the named test ends the run with exit 1.
// A patch is a unified diff below two lines: `Breaks: …` (the promise) and `Caught by: FILE > TEST NAME`.

import { spawn } from 'node:child_process';
import { cp, mkdtemp, readdir, readFile, rm, symlink } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../', import.meta.url));
const folder = join(root, 'tests/mutants');
// A mutant may make its test hang, or eat memory without end; a healthy one needs a fraction of these.
const patienceMs = 60_000;
const heapMegabytesMax = 512;

type Mutant = { readonly name: string; readonly breaks: string; readonly file: string; readonly test: string };
type Verdict = { readonly mutant: Mutant; readonly caught: boolean; readonly why: string };

const asked = process.argv.slice(2);
const names = (await readdir(folder)).filter((name) => name.endsWith('.patch')).sort();
const chosen = asked.length === 0 ? names : names.filter((name) => asked.some((part) => name.includes(part)));
if (chosen.length === 0) {
  process.stderr.write(`No patch in tests/mutants matches ${asked.join(' ')}.\n`);
  process.exit(2);
}

const queue = [...chosen];
const verdicts: Verdict[] = [];
await Promise.all(Array.from({ length: Math.min(2, availableParallelism()) }, work));
const missed = verdicts.filter((verdict) => !verdict.caught);
process.stdout.write(`\n${verdicts.length - missed.length} passed, ${missed.length} failed\n`);
process.exitCode = missed.length === 0 ? 0 : 1;

async function work(): Promise<void> {
  for (let name = queue.shift(); name !== undefined; name = queue.shift()) {
    const verdict = await judge(await readMutant(name));
    verdicts.push(verdict);
    const mark = verdict.caught ? 'caught ' : 'MISSED ';
    process.stdout.write(`${mark} ${name.padEnd(46)} ${verdict.mutant.breaks}\n`);
    if (!verdict.caught) process.stdout.write(`        ${verdict.why}\n`);
  }
}

async function readMutant(name: string): Promise<Mutant> {
  const text = await readFile(join(folder, name), 'utf8');
  const breaks = /^Breaks: (.+)$/m.exec(text)?.[1];
  const [, file, test] = /^Caught by: (\S+) > (.+)$/m.exec(text) ?? [];
  if (!breaks || !file || !test) throw new Error(`${name} lacks its lines "Breaks:" and "Caught by: FILE > TEST NAME"`);
  return { name, breaks, file, test };
}

async function judge(mutant: Mutant): Promise<Verdict> {
  const copy = await mkdtemp(join(tmpdir(), 'orderly-mutant-'));
  try {
    for (const part of ['src', 'tests', 'scripts', 'package.json', 'tsconfig.json']) {
      await cp(join(root, part), join(copy, part), { recursive: true });
    }
    await symlink(join(root, 'node_modules'), join(copy, 'node_modules'));
    const applied = await run('git', ['apply', join(folder, mutant.name)], copy);
    if (applied.code !== 0) return { mutant, caught: false, why: `the patch does not apply: ${applied.output.trim()}` };
    const pattern = `^${mutant.test.replace(/[.*+?^${}()|[\]\\/]/g, '\\$&')}$`;
    const args = ['--test', '--test-reporter=tap', `--test-name-pattern=${pattern}`, mutant.file];
    const tested = await run(process.execPath, args, copy);
    return { mutant, ...read(tested, mutant) };
  } finally {
    await rm(copy, { recursive: true, force: true });
  }
}

function read(tested: { code: number | null; output: string }, mutant: Mutant): { caught: boolean; why: string } {
  const line = tested.output.split('\n').find((one) =>
    one
      .trim()
      .replace(/ # .*$/, '')
      .endsWith(`- ${mutant.test}`),
  );
  if (tested.code === null) return { caught: true, why: 'the test did not end' };
  if (line === undefined) return { caught: false, why: `no test of this name in ${mutant.file}, or it did not run` };
  if (line.trim().startsWith('not ok')) return { caught: true, why: '' };
  return { caught: false, why: 'the test stays green' };
}

function run(command: string, args: string[], cwd: string): Promise<{ code: number | null; output: string }> {
  return new Promise((resolve, reject) => {
    // A test runner inside a test runner would report to its parent.
    const { NODE_TEST_CONTEXT: _, ...inherited } = process.env;
    const env = { ...inherited, NODE_OPTIONS: `--max-old-space-size=${heapMegabytesMax}` };
    // A group of its own: the runner's child processes must end with it.
    const child = spawn(command, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
    const endGroup = () => child.pid !== undefined && process.kill(-child.pid, 'SIGKILL');
    let output = '';
    const timer = setTimeout(endGroup, patienceMs);
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk));
    child.on('error', reject);
    child.on('close', (code) => {
      clearTimeout(timer);
      resolve({ code, output });
    });
  });
}
