// The patches of this folder, and what every judge of them needs: a copy of the tree with one applied, and
// a process in it that cannot run for ever.
//
// Promises: the working tree is never touched; a copy is gone when its judge is done. A patch is a unified diff
// below two or three lines: `Breaks: …` (the promise), `Caught by: FILE > TEST NAME`, and where the simulation cannot find
// it `Unseen by the simulation: REASON` (see simulation.ts).

import { spawn } from 'node:child_process';
import { cp, mkdtemp, readdir, readFile, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../', import.meta.url));
const folder = join(root, 'tests/mutants');
const parts = ['src', 'services', 'tests', 'scripts', 'package.json', 'package-lock.json', 'tsconfig.json'];
const heapMegabytesMax = 512;

export type Patch = {
  readonly name: string;
  readonly breaks: string;
  readonly file: string;
  readonly test: string;
  // Why the simulation cannot find it; null where it must.
  readonly unseen: string | null;
};
// `code` is null where it was ended because it did not end.
export type Ran = { readonly code: number | null; readonly output: string; readonly ms: number };

// Those whose file name contains one of the words; all without a word.
export async function readPatches(words: readonly string[]): Promise<Patch[]> {
  const names = (await readdir(folder)).filter((name) => name.endsWith('.patch')).sort();
  const chosen = words.length === 0 ? names : names.filter((name) => words.some((word) => name.includes(word)));
  return Promise.all(chosen.map(readPatch));
}

async function readPatch(name: string): Promise<Patch> {
  const text = await readFile(join(folder, name), 'utf8');
  const breaks = /^Breaks: (.+)$/m.exec(text)?.[1];
  const [, file, test] = /^Caught by: (\S+) > (.+)$/m.exec(text) ?? [];
  if (!breaks || !file || !test) throw new Error(`${name} lacks its lines "Breaks:" and "Caught by: FILE > TEST NAME"`);
  const unseen = /^Unseen by the simulation: (.+)$/m.exec(text)?.[1] ?? null;
  return { name, breaks, file, test, unseen };
}

// Work in a copy with the patch applied (null: as it is). Answers why it does not apply, where it does not.
export async function inCopy<T>(patch: Patch | null, work: (copy: string) => Promise<T>): Promise<T | string> {
  const copy = await mkdtemp(join(tmpdir(), 'orderly-mutant-'));
  try {
    for (const part of parts) await cp(join(root, part), join(copy, part), { recursive: true });
    await symlink(join(root, 'node_modules'), join(copy, 'node_modules'));
    if (patch !== null) {
      const applied = await run('git', ['apply', join(folder, patch.name)], copy, 10_000);
      if (applied.code !== 0) return `the patch does not apply: ${applied.output.trim()}`;
    }
    return await work(copy);
  } finally {
    await rm(copy, { recursive: true, force: true });
  }
}

export function run(command: string, args: readonly string[], cwd: string, patienceMs: number): Promise<Ran> {
  return new Promise((resolve, reject) => {
    const startedMs = performance.now();
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
      resolve({ code, output, ms: performance.now() - startedMs });
    });
  });
}

// One after the other on each core, in the order given.
export async function eachOnCores<T>(things: readonly T[], cores: number, work: (thing: T) => Promise<void>) {
  const queue = [...things];
  const core = async () => {
    for (let thing = queue.shift(); thing !== undefined; thing = queue.shift()) await work(thing);
  };
  await Promise.all(Array.from({ length: cores }, core));
}
