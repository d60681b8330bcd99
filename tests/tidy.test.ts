// The house rules as tests. Each complaint names the place and what to do instead; an exception is an
// entry in a list here, with its reason beside it. The code is read as text: comments and quoted
// strings are blanked first, line by line, so that neither can offend.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { describe, it } from 'node:test';

// A file of one of these imports only from its own folder or from one before it.
const folders = ['domain', 'engine', 'flow', 'io', 'main'];

// What may be imported from outside, and why it is no I/O; io and main may import what they need.
const packagesOf: Record<string, readonly string[]> = {
  engine: [],
  // Data and types without I/O: one schema per event.
  domain: ['typebox'],
  // The fingerprint of a payload: its canonical JSON (RFC 8785), and SHA-256 of that.
  flow: ['canonicalize', 'node:crypto'],
};

// Files that a command starts; every other file must have an importer.
const entryPoints = ['src/main/cli.ts'];

// Lines that may touch clock, randomness or timers although they are not io/system.ts: file, code, reason.
const clockExceptions: readonly { readonly file: string; readonly code: string; readonly because: string }[] = [
  {
    file: 'src/io/postgres/embedded.ts',
    code: 'setImmediate',
    because: 'it is no clock: it lets requests in between two statements that compute in this thread',
  },
  {
    file: 'src/io/telemetry/metrics.ts',
    code: 'setImmediate',
    because: 'it is no clock: it gathers those who ask for metrics at once',
  },
];

// The one place where the engine is told what its subject is; it looks into none.
const subject = { of: 'src/engine/ports.ts', is: 'src/domain/order-record.ts' };

const sizeMax = 250;
const notOurs = ['node_modules', '.git', '.orderly', 'coverage'];

const root = dirname(import.meta.dirname);
const files = readdirSync(root)
  .filter((name) => !notOurs.includes(name))
  .flatMap((name) => (statSync(join(root, name)).isDirectory() ? walk(name) : [name]))
  // Packages of a folder of its own, such as the benchmark's.
  .filter((file) => !file.includes('/node_modules/'))
  .sort();
const sources = files.filter((file) => file.endsWith('.ts')).map(read);
const src = sources.filter(({ file }) => file.startsWith('src/'));
// What browsers are given as it stands.
const served = files.filter((file) => /^src\/.*\.(?:js|css)$/.test(file)).map(read);

describe('the source', () => {
  it('imports only from its own folder or one that sorts before it', () => {
    const wrong = (from: string, to: string) => folders.indexOf(folderOf(from)) < folders.indexOf(folderOf(to));
    complain(src, ({ file, imports }) =>
      imports
        .filter(({ target }) => target?.startsWith('src/') && wrong(file, target))
        .map(({ line, target }) => `${line}: imports ${target}; take it as a port (a type in ports.ts) instead`),
    );
  });

  it('keeps domain and engine to themselves', () => {
    const closed = src.filter(({ file }) => ['domain', 'engine'].includes(folderOf(file)));
    complain(closed, ({ file, imports }) =>
      imports
        .filter(({ target }) => target !== null && folderOf(target) !== folderOf(file))
        .filter(({ target }) => file !== subject.of || target !== subject.is)
        .map(({ line, target }) => `${line}: imports ${target}; pass it in as a parameter instead`),
    );
  });

  it('brings no library for the outside world into domain, engine and flow', () => {
    complain(src, ({ file, imports }) =>
      imports
        .filter(({ name, target }) => target === null && packagesOf[folderOf(file)]?.includes(name) === false)
        .map(({ line, name }) => `${line}: imports ${name}; ask for it by a port, and implement that in io/`),
    );
  });

  it('leaves main to main, tests, demo and bench', () => {
    complain(src, ({ file, imports }) =>
      imports
        .filter(({ target }) => target?.startsWith('src/main/') && !file.startsWith('src/main/'))
        .map(({ line, target }) => `${line}: imports ${target}; main wires, nobody wires main: pass the value in`),
    );
  });

  it('keeps the folders of io apart from each other', () => {
    const partOf = (file: string) => /^src\/io\/([^/]+)\//.exec(file)?.[1];
    complain(src, ({ file, imports }) =>
      imports
        .filter(({ target }) => target && partOf(file) && partOf(target) && partOf(file) !== partOf(target))
        .map(({ line, target }) => `${line}: imports ${target}; share it in src/io/ itself, or pass it in by main`),
    );
  });

  it('has no index files that only pass names on', () => {
    complain(sources, ({ file }) => (file.endsWith('/index.ts') ? ['1: name the file after what it holds'] : []));
  });

  it('has no circle of imports, types included', () => {
    const circle = findCircle();
    assert.deepEqual(circle, [], `move what both need into a file of its own: ${circle.join(' → ')}`);
  });

  it('reads the environment in main/config.ts alone', () => {
    const readers = src.filter(({ file }) => file !== 'src/main/config.ts');
    complain(readers, (source) =>
      linesWith(source, /\bprocess\.env\b/, 'make it a setting of config.ts and pass it in'),
    );
  });

  it('takes clock, randomness, ids and timers from io/system.ts alone', () => {
    const machine =
      /\bDate\.now\b|\bnew Date\(\)|\bperformance\b|\bhrtime\b|\bMath\.random\b|\brandom(UUID|Bytes|Int)\b|\bset(Timeout|Interval|Immediate)\b|\bAbortSignal\.timeout\b/;
    const others = src.filter(({ file }) => file !== 'src/io/system.ts');
    const isExcused = (file: string, line: string) =>
      clockExceptions.some((exception) => exception.file === file && line.includes(exception.code));
    complain(others, (source) =>
      linesWith(source, machine, 'use the System that is passed in', (line) => isExcused(source.file, line)),
    );
    complain(others, ({ imports }) =>
      imports
        .filter(({ name }) => name === 'uuid')
        .map(({ line }) => `${line}: imports uuid; use newId or newToken of the System that is passed in`),
    );
  });

  it('says in 3 to 8 lines at the top of each file what it is for', () => {
    complain(src, ({ text }) => {
      const length = text.split('\n').findIndex((line) => !line.startsWith('//'));
      const asked = 'say what it is for, what it promises and what it relies on, in 3 to 8 lines';
      return length >= 3 && length <= 8 ? [] : [`1: opens with ${length} lines of comment; ${asked}`];
    });
  });

  it('has no file that nobody imports', () => {
    const imported = new Set(src.flatMap(({ imports }) => imports.map(({ target }) => target)));
    complain(src, ({ file }) =>
      imported.has(file) || entryPoints.includes(file) ? [] : ['1: nobody imports it; wire it or delete it'],
    );
  });

  it(`has no file of more than ${sizeMax} lines`, () => {
    complain([...src, ...served], ({ text }) => {
      const length = text.trimEnd().split('\n').length;
      return length > sizeMax ? [`${length}: has ${length} lines; split it where it has two subjects`] : [];
    });
  });
});

describe('the repository', () => {
  const texts = files.map((file) => ({ file, text: readFileSync(join(root, file), 'utf8') }));
  const readable = texts.filter(({ text }) => !text.includes('\0'));

  it('holds no notes of unfinished work', () => {
    complain(readable, (source) => linesWith(source, /\b(?:TO|FIX)(?:DO|ME)\b/, 'do it, or open an issue'));
  });

  it('has npm run each script in the place of its shell, which would keep signals to npm for itself', () => {
    const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
      scripts: Record<string, string>;
    };
    const inShell = Object.entries(scripts).filter(
      ([, command]) => !/(?:^|&& |^NPM_PID=\$PPID )exec \S+[^&|;]*$/.test(command),
    );
    assert.deepEqual(inShell, []);
  });

  it('names no path of one machine', () => {
    const path = /(?<![\w.:~-])\/(?:home|Users|root|work|tmp|var\/folders)\/\w|\b[A-Z]:\\Users\b/;
    complain(readable, (source) => linesWith(source, path, 'name it relative to the repository'));
  });

  it('names no package registry', () => {
    const registry = /:\/\/[\w.-]*(?:registry|artifactory|jfrog|verdaccio|nexus)|\bregistry\.npmjs|"resolved"\s*:/;
    complain(readable, (source) => linesWith(source, registry, 'leave the registry to the settings of npm'));
  });
});

type Import = { readonly name: string; readonly target: string | null; readonly line: number };
type Source = {
  readonly file: string;
  readonly text: string;
  readonly code: string;
  readonly imports: readonly Import[];
};

function walk(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1));
}

function read(file: string): Source {
  const text = readFileSync(join(root, file), 'utf8');
  const tokens = /\/\/.*|\/\*[\s\S]*?\*\/|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`/g;
  const blank = (token: string) => token.replace(/[^\n]/g, ' ');
  const withoutComments = text.replace(tokens, (token) => (token.startsWith('/') ? blank(token) : token));
  const imports = [...withoutComments.matchAll(/\b(?:from|import)\s*\(?\s*'([^']+)'/g)].map(
    ({ 1: name = '', index }) => ({
      name,
      target: name.startsWith('.') ? normalize(join(dirname(file), name)) : null,
      line: text.slice(0, index).split('\n').length,
    }),
  );
  return { file, text, code: text.replace(tokens, (token) => (token.startsWith('`') ? token : blank(token))), imports };
}

function folderOf(file: string): string {
  return /^src\/([^/]+)\//.exec(file)?.[1] ?? '';
}

function linesWith(
  { text, code }: { readonly text: string; readonly code?: string },
  pattern: RegExp,
  instead: string,
  isExcused: (line: string) => boolean = () => false,
): string[] {
  return (code ?? text).split('\n').flatMap((line, index) => {
    const found = pattern.exec(line)?.[0];
    return found === undefined || isExcused(line) ? [] : [`${index + 1}: has ${found}; ${instead}`];
  });
}

function complain<S extends { readonly file: string }>(
  among: readonly S[],
  about: (source: S) => readonly string[],
): void {
  const complaints = among.flatMap((source) => about(source).map((complaint) => `${source.file}:${complaint}`));
  if (complaints.length > 0) assert.fail(`\n${complaints.join('\n')}`);
}

// The first circle on a walk along the imports; empty when there is none.
function findCircle(): string[] {
  const importsOf = new Map(src.map(({ file, imports }) => [file, imports.map(({ target }) => target ?? '')]));
  const done = new Set<string>();
  const visit = (file: string, path: readonly string[]): string[] => {
    if (path.includes(file)) return [...path.slice(path.indexOf(file)), file];
    if (done.has(file)) return [];
    for (const target of importsOf.get(file) ?? []) {
      const circle = visit(target, [...path, file]);
      if (circle.length > 0) return circle;
    }
    done.add(file);
    return [];
  };
  return src.map(({ file }) => visit(file, [])).find((circle) => circle.length > 0) ?? [];
}
