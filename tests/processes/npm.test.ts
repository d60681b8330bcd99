// What a person or a platform does to npm, which started the product, and to whoever reads its log: the product
// must hear of the one and not suffer from the other.

import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { slowestTest } from '../support/installation.ts';
import { createProcesses, type Processes, type Settings } from '../support/process.ts';
import { until } from '../support/until.ts';

const root = dirname(dirname(import.meta.dirname));

describe('npm, which started the product,', slowestTest, () => {
  let directory = '';
  const groups: number[] = [];
  before(() => {
    directory = mkdtempSync(join(tmpdir(), 'orderly-npm-'));
  });
  after(() => {
    for (const group of groups) killGroup(group);
    rmSync(directory, { recursive: true });
  });

  // In a process group of its own, as a shell gives it one; `url` says that the role is ready.
  async function startByNpm(args: readonly string[], ready: RegExp, settings: Settings) {
    const given = Object.entries(settings).map(([name, value]) => [name, String(value)]);
    const npm = spawn('npm', args, {
      cwd: root,
      env: { PATH: process.env.PATH ?? '', HOME: process.env.HOME ?? '', ...Object.fromEntries(given) },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    groups.push(npm.pid ?? 0);
    let said = '';
    for (const stream of [npm.stdout, npm.stderr]) stream.setEncoding('utf8').on('data', (text) => (said += text));
    // The product holds the pipes too: they close when both have ended. One that lives on is left to `after`.
    let isClosed = false;
    npm.once('close', () => (isClosed = true));
    const closed = () => until(() => isClosed, 'the end of what npm has started', { patienceMs: 45_000 });
    await until(() => ready.test(said), `a start by npm ${args.join(' ')}:\n${said}`, { patienceMs: 40_000 });
    return { npm, closed, said: () => said };
  }
  const startSandbox = (name: string) =>
    startByNpm(['run', 'orderly', '--', 'sandbox'], /The simulated partners are listening/, {
      SANDBOX_PORT: 0,
      ORDERLY_DATA_DIR: join(directory, name),
    });

  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
    it(`and alone gets ${signal} stops it in order`, async () => {
      const { npm, closed, said } = await startSandbox(signal);
      npm.kill(signal);
      await closed();
      assert.match(said(), /"msg":"stopped"/);
    });
  }

  it('stops all that npm start runs, in order too', async () => {
    const settings = { PORT: 0, SHUTDOWN_TIMEOUT_MS: 30_000, ORDERLY_DATA_DIR: join(directory, 'all') };
    const { npm, closed, said } = await startByNpm(['start'], /running at http/, settings);
    npm.kill('SIGTERM');
    await closed();
    assert.match(said(), /"msg":"stopping:.*\n.*"msg":"stopped"/);
  });

  it('passes on a Ctrl-C that the terminal gives to the product as well, and the product stops in order', async () => {
    // The stop takes long enough for the second signal to come.
    const slowly = { SHUTDOWN_DRAIN_MS: 2_000, SHUTDOWN_TIMEOUT_MS: 30_000 };
    const settings = { PORT: 0, ...slowly, ORDERLY_DATA_DIR: join(directory, 'ctrl-c') };
    const { npm, closed, said } = await startByNpm(['start'], /running at http/, settings);
    process.kill(-(npm.pid ?? 0), 'SIGINT');
    await closed();
    assert.equal(npm.exitCode, 0, said());
    assert.match(said(), /"msg":"stopped"/);
  });

  it('is killed, and the product stops in order', async () => {
    const { npm, closed, said } = await startSandbox('killed');
    npm.kill('SIGKILL');
    await closed();
    assert.match(said(), /"msg":"stopped"/);
  });

  it('was gone before the product was loaded, and the product ends', async () => {
    // As a reader that goes away ends npm: `npm start | head -1`.
    const { pid } = spawnSync('true');
    const product = spawn(process.execPath, [join(root, 'src/main/cli.ts'), 'sandbox'], {
      env: { NPM_PID: String(pid), SANDBOX_PORT: '0', ORDERLY_DATA_DIR: join(directory, 'orphan') },
      stdio: 'ignore',
      detached: true,
    });
    groups.push(product.pid ?? 0);
    await until(() => product.exitCode !== null, 'the end of the product', { patienceMs: 15_000 });
    assert.equal(product.exitCode, 0);
  });
});

describe('the reader of the output', slowestTest, () => {
  let processes: Processes;
  before(() => {
    processes = createProcesses();
  });
  after(() => processes.close());

  // With pipes that this test reads as it likes.
  function launch(args: readonly string[], settings: Settings): ChildProcess {
    const given = Object.entries(settings).map(([name, value]) => [name, String(value)]);
    return spawn(process.execPath, [join(root, 'src/main/cli.ts'), ...args], {
      env: { PATH: process.env.PATH ?? '', ...Object.fromEntries(given) },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
  }

  it('may go away: the process works on, and stops in order', async () => {
    const child = launch(['start'], {
      PORT: 0,
      LOG_LEVEL: 'debug',
      ORDERLY_DATA_DIR: join(processes.directory, 'gone'),
    });
    const ended = once(child, 'exit');
    const url = await urlSaidBy(child, /running at (http:\S+)/);
    child.stdout?.destroy();
    child.stderr?.destroy();
    // Each answer is a line that nobody reads.
    for (let request = 0; request < 20; request += 1) assert.equal((await fetch(`${url}/healthz`)).status, 200);
    child.kill('SIGTERM');
    assert.deepEqual(await ended, [0, null]);
  });

  it('may go away before a command has said its word', async () => {
    const child = launch(['help'], {});
    child.stdout?.destroy();
    child.stderr?.destroy();
    assert.deepEqual(await once(child, 'exit'), [0, null]);
  });

  it('may stand still: the process answers on, and stops in order and in time', async () => {
    const settings = { PORT: 0, LOG_LEVEL: 'debug', SHUTDOWN_TIMEOUT_MS: 5_000 };
    const child = launch(['start'], { ...settings, ORDERLY_DATA_DIR: join(processes.directory, 'still') });
    const ended = once(child, 'exit');
    const url = await urlSaidBy(child, /running at (http:\S+)/);
    child.stdout?.pause();
    // Several times what pipe and test hold.
    const path = `/orders/${'x'.repeat(200)}`;
    for (let round = 0; round < 12; round += 1) {
      const answers = await Promise.all(Array.from({ length: 100 }, () => fetch(`${url}${path}`)));
      assert.ok(answers.every(({ status }) => status === 400));
    }
    child.kill('SIGTERM');
    assert.deepEqual(await ended, [0, null]);
  });
});

async function urlSaidBy(child: ChildProcess, pattern: RegExp): Promise<string> {
  let said = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => (said += text));
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (said += text));
  return until(() => pattern.exec(said)?.[1], 'the address of the process', { patienceMs: 40_000 });
}

function killGroup(group: number): void {
  try {
    process.kill(-group, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
