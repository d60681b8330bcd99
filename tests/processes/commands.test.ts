// The commands that README and docs print, run as printed: section by section, in one shell each, as a reader would
// paste them. Replaced are names alone: ports that are free here, a database that is there, and a dead letter that is.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { deadLetterExample, orderExample } from '../../src/io/http/examples.ts';
import { quickSettings } from '../support/installation.ts';
import { type Postgres, startPostgres } from '../support/postgres.ts';
import { findPort } from '../support/process.ts';

const root = dirname(dirname(import.meta.dirname));
// Those of the runbook run where there is something to see by them: tests/clients/prometheus.tools.ts.
const files = ['README.md', ...readdirSync(join(root, 'docs')).map((name) => `docs/${name}`)].filter(
  (file) => file.endsWith('.md') && file !== 'docs/runbook.md',
);

// Not run here, and why.
const left: readonly (readonly [matches: RegExp, because: string])[] = [
  [/^npm test\b/, 'it would run for minutes, and is what runs these files'],
  [/^npm ci\b/, 'it would replace the packages that this test runs on'],
  [/npm run (-s )?(services|test:services)\b/, 'it fetches servers; tests/services has tests of its own'],
  [/^npm run (bench|mutants)\b/, 'it takes minutes to an hour'],
  [/^npm run observe\b/, 'it fetches Prometheus and Zipkin, and runs until it is stopped'],
  [/THE NAME/, 'the reader puts a name there'],
  [/^kcat\b/, 'it is a program of others, and needs a broker'],
];
// What lives on until it is stopped.
const living = /\bnpm start\b|\borderly -- (start|api|relay|worker|sandbox)\b/;

// `run` starts what lives on and waits until it says that it does; what ran before is stopped, as its port is
// wanted again. A request that is refused fails the section.
const prelude = `
set -eu
pids=
stop_all() { for pid in $pids; do kill "$pid" 2>/dev/null || :; done; for pid in $pids; do wait "$pid" || :; done; pids=; }
trap stop_all EXIT
curl() { command curl --fail-with-body --show-error "$@"; }
await() {
  n=0
  until grep -Eq 'running at|listening|"msg":"running"' "$1"; do
    n=$((n + 1)); [ $n -lt 600 ] && kill -0 "$2" 2>/dev/null || { cat "$1"; exit 1; }
    sleep 0.1
  done
}
`;

// Ids that the documents show, and an order and its dead letter that are there.
const exampleOrder = orderExample.id;
const exampleLetter = deadLetterExample.id;
const failedOrder = `
order=$(curl -s http://127.0.0.1:3000/orders -H 'content-type: application/json' \\
  -d '{"user_id":"u-1","amount":1999,"paymentScenario":"outage"}' | cut -d '"' -f 4)
n=0
until letter=$(curl -s http://127.0.0.1:3000/dlq | cut -d '"' -f 6) && [ -n "$letter" ]; do
  n=$((n + 1)); [ $n -lt 300 ]
  sleep 0.1
done
`;

describe('the commands that the documents print', { timeout: 300_000 }, () => {
  let postgres: Postgres;
  let directory = '';
  before(async () => {
    postgres = await startPostgres({ settings: { fsync: 'off' } });
    directory = mkdtempSync(join(tmpdir(), 'orderly-commands-'));
  });
  after(async () => {
    await postgres.stop();
    rmSync(directory, { recursive: true, force: true });
  });

  for (const file of files) {
    const sections = readFileSync(join(root, file), 'utf8').split(/^## /m);
    for (const section of sections) {
      const blocks = [...section.matchAll(/```sh\n([\s\S]*?)```/g)].map(([, block = '']) => block);
      const runs = blocks
        .map(linesOf)
        .map((lines) => lines.filter((line) => !left.some(([matches]) => matches.test(line))));
      if (runs.flat().length === 0) continue;
      const [title = ''] = section.split('\n');
      const part = title.startsWith('#') ? '' : `, ${title},`;
      it(`of ${file}${part} run as they stand`, async () => {
        const [port, sandboxPort] = [await findPort(), await findPort()];
        const DATABASE_URL = await postgres.createDatabase();
        const named = (line: string) =>
          line
            .replaceAll('postgres://user:password@127.0.0.1:5432/orderly', DATABASE_URL)
            .replaceAll('https://orders.internal', 'http://127.0.0.1:3000')
            .replaceAll('127.0.0.1:3000', `127.0.0.1:${port}`)
            .replaceAll('OPERATOR_TOKEN=…', 'OPERATOR_TOKEN=of-an-operator-0123')
            .replaceAll(exampleOrder, '$order')
            .replaceAll(exampleLetter, '$letter')
            .replaceAll('127.0.0.1:4000', `127.0.0.1:${sandboxPort}`)
            .replaceAll('127.0.0.1:9092', '127.0.0.1:1')
            .replace(/\b((?:WORKER_)?PORT)=\d+/g, '$1=0');
        const script = runs.map((lines, block) => blockScript(lines, block)).join('\n');
        const env = {
          ...Object.fromEntries(Object.entries(quickSettings).map(([name, value]) => [name, String(value)])),
          PATH: process.env.PATH ?? '',
          HOME: process.env.HOME ?? '',
          OUT: mkdtempSync(join(directory, 'out-')),
          DATABASE_URL,
          PORT: String(port),
          SANDBOX_PORT: String(sandboxPort),
          ORDERLY_DATA_DIR: mkdtempSync(join(directory, 'data-')),
        };
        const { code, said } = await runShell(`${prelude}${named(withWhatRuns(script))}`, env);
        assert.equal(code, 0, `${script}\n${said}`);
      });
    }
  }

  it('are left out for a reason that still holds', () => {
    const lines = files.flatMap((file) =>
      [...readFileSync(join(root, file), 'utf8').matchAll(/```sh\n([\s\S]*?)```/g)].flatMap(([, block = '']) =>
        linesOf(block),
      ),
    );
    for (const [matches] of left)
      assert.ok(
        lines.some((line) => matches.test(line)),
        `${matches} matches no command`,
      );
  });
});

// A command each, with its continuation.
function linesOf(block: string): string[] {
  return block
    .replaceAll('\\\n', ' ')
    .split(/\n(?! )/)
    .map((line) => line.trim())
    .filter((line) => line !== '');
}

function blockScript(lines: readonly string[], block: number): string {
  let isFirst = true;
  return lines
    .map((line, index) => {
      if (!living.test(line)) return line;
      const out = `"$OUT/${block}.${index}"`;
      const begin = isFirst ? 'stop_all\n' : '';
      isFirst = false;
      return `${begin}(exec env ${line.replace(/\s#.*$/, '')}) >${out} 2>&1 &\npids="$pids $!"\nawait ${out} $!`;
    })
    .join('\n');
}

// What the section's text says must run already, or an earlier section has left running or waiting.
function withWhatRuns(script: string): string {
  const needs: string[] = [];
  if (/127\.0\.0\.1:4000/.test(script) && !/-- sandbox/.test(script)) needs.push('npm run orderly -- sandbox');
  if (/127\.0\.0\.1:3000|-- (dlq|pause|resume)\b/.test(script) && !living.test(script)) needs.push('npm start');
  const setUp = ['npm run -s orderly -- migrate', ...needs].map((line, index) => blockScript([line], 100 + index));
  if (script.includes(exampleOrder) || script.includes(exampleLetter)) setUp.push(failedOrder);
  return [...setUp.map((text) => text.replace('stop_all\n', '')), script].join('\n');
}

async function runShell(script: string, env: Record<string, string>): Promise<{ code: number | null; said: string }> {
  const shell = spawn('sh', ['-c', script], { cwd: root, env, stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  for (const stream of [shell.stdout, shell.stderr]) stream.setEncoding('utf8').on('data', (text) => (said += text));
  const [code] = (await once(shell, 'close')) as [number | null];
  return { code, said };
}
