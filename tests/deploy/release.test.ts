// deploy/terraform/deploy.sh with stand-ins for terraform and aws that note what they are asked: the migration comes first, and
// what fails changes nothing after it.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { root } from './services.ts';

const script = join(root, 'deploy/terraform/deploy.sh');
const migration =
  '{"cluster":"orderly","task_definition":"migrate:7","subnets":["a","b"],"security_group":"tasks","log_group":"/orderly/migrate"}';
const terraform = `#!/bin/sh
echo "terraform $*" >> "$ASKED"
case "$*" in
  "output -json migration") echo '${migration}' ;;
  "output -json services") echo '{"api":"api:7","relay":"relay:7"}' ;;
esac
`;
const aws = `#!/bin/sh
echo "aws $*" >> "$ASKED"
case "$*" in
  *run-task*) echo "$TASK" ;;
  *wait*) [ "$3" != "$NEVER" ] && [ -e "$ASKED.$3" ] || { touch "$ASKED.$3"; exit 255; } ;;
  *describe-tasks*) echo "$CODE" ;;
  *describe-services*api*) echo "$API" ;;
  *describe-services*relay*) echo relay:7 ;;
esac
`;

describe('a release on AWS', () => {
  let directory = '';
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'orderly-release-'));
    for (const [name, text] of Object.entries({ terraform, aws }))
      writeFileSync(join(directory, name), text, { mode: 0o755 });
  });
  afterEach(() => rmSync(directory, { recursive: true, force: true }));

  type Answers = { readonly task?: string; readonly never?: string; readonly code?: string; readonly api?: string };
  const release = async ({ task = 'task-1', never = '', code = '0', api = 'api:7' }: Answers = {}) => {
    const asked = join(directory, 'asked');
    const PATH = `${directory}${delimiter}${process.env.PATH}`;
    const env = { ...process.env, PATH, ASKED: asked, TASK: task, NEVER: never, CODE: code, API: api };
    const ended = await new Promise<{ code: number; said: string }>((resolve) =>
      execFile('bash', [script, '-var', 'image=orderly:2'], { env }, (error, stdout, stderr) =>
        resolve({ code: Number(error?.code ?? 0), said: stdout + stderr }),
      ),
    );
    const lines = readFileSync(asked, 'utf8').split('\n');
    const waits = lines.flatMap((line) => (line.startsWith('aws ecs wait ') ? [line.split(' ')[3]] : []));
    const applied = lines
      .filter((line) => line.startsWith('terraform apply') || line.includes('run-task'))
      .map((line) => (line.includes('run-task') ? 'migration' : line.includes('-target') ? 'targets' : 'everything'));
    return { ...ended, applied, waits };
  };

  it('migrates before anything that runs is changed', async () => {
    const { code, said, applied } = await release();
    assert.equal(code, 0, said);
    assert.deepEqual(applied, ['targets', 'migration', 'everything']);
    assert.match(said, /The release runs/);
  });

  for (const code of ['1', 'None']) {
    it(`changes nothing where the migration ended with ${code}`, async () => {
      const { code: ended, said, applied } = await release({ code });
      assert.equal(ended, 1, said);
      assert.deepEqual(applied, ['targets', 'migration']);
      assert.match(said, /did not end well .*nothing else was changed/);
    });
  }

  it('waits on where the command gives up after its ten minutes', async () => {
    const { code, said, waits } = await release();
    assert.equal(code, 0, said);
    assert.deepEqual(waits, ['tasks-stopped', 'tasks-stopped', 'services-stable', 'services-stable']);
  });

  for (const [never, applied, told] of [
    ['tasks-stopped', ['targets', 'migration'], /no service was changed/],
    ['services-stable', ['targets', 'migration', 'everything'], /not steady/],
  ] as const) {
    it(`fails where it never gets to ${never}`, async () => {
      const ended = await release({ never });
      assert.equal(ended.code, 1, ended.said);
      assert.deepEqual(ended.applied, applied);
      assert.match(ended.said, told);
    });
  }

  it('changes nothing where no task could be started', async () => {
    const { code, said, applied } = await release({ task: 'None' });
    assert.equal(code, 1, said);
    assert.deepEqual(applied, ['targets', 'migration']);
    assert.match(said, /did not start the migration/);
  });

  it('fails where the circuit breaker took a service back', async () => {
    const { code, said } = await release({ api: 'api:6' });
    assert.equal(code, 1, said);
    assert.match(said, /api did not come up and was taken back to api:6/);
  });
});
