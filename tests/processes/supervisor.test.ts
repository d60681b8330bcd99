// What `start --processes` rests on: processes that are started, kept and stopped, played by scripts of a
// few words.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { pathToFileURL } from 'node:url';
import type { System } from '../../src/engine/ports.ts';
import { CannotStartError, createSupervisor, type Post, type Supervisor } from '../../src/io/supervisor.ts';
import { createSystem } from '../../src/io/system.ts';
import { silentLog } from '../support/silent-log.ts';
import { until } from '../support/until.ts';

// Ready at once under an address, then whatever comes; ends with its parent.
const prelude = `
  process.on('disconnect', () => process.exit(0));
  process.channel?.unref();
  setInterval(() => {}, 1_000);
  const ready = (port = process.env.PORT ?? 4321) =>
    process.send({ ready: true, url: 'http://127.0.0.1:' + port });`;

describe('a supervisor of processes', { timeout: 60_000 }, () => {
  let directory = '';
  before(() => {
    directory = mkdtempSync(join(tmpdir(), 'orderly-supervisor-'));
  });
  after(() => rmSync(directory, { recursive: true }));

  // Pauses are noted, not waited for.
  function createTestSupervisor(pauses: number[] = []): { supervisor: Supervisor; said: string[] } {
    const said: string[] = [];
    const real = createSystem();
    const system: System = {
      ...real,
      sleep: async (ms) => {
        pauses.push(ms);
        await real.sleep(10);
      },
    };
    const say = (name: string, stream: string, line: string) => void said.push(`${name} ${stream} ${line}`);
    return { supervisor: createSupervisor({ command: [process.execPath], say, system, log: silentLog }), said };
  }
  const postOf = (name: string, script: string, env: Record<string, string> = {}): Post => ({
    name,
    args: ['-e', `${prelude}${script}`],
    env: { PATH: process.env.PATH, ...env },
    portSetting: 'PORT',
  });

  it('knows when a process is ready and where, and passes on what it says, line by line', async () => {
    const { supervisor, said } = createTestSupervisor();
    const script = `process.stdout.write('one\\ntwo'); process.stderr.write('three\\n'); ready();`;
    assert.deepEqual(await supervisor.start(postOf('speaker', script)), { url: 'http://127.0.0.1:4321' });
    await supervisor.stop(5_000);
    assert.deepEqual(said.sort(), ['speaker stderr three', 'speaker stdout one', 'speaker stdout two']);
  });

  it('starts again what dies, ever more rarely, under the port that it had', async () => {
    const pauses: number[] = [];
    const { supervisor, said } = createTestSupervisor(pauses);
    // Dies as often as there are letters left in the file.
    const file = join(directory, 'lives');
    writeFileSync(file, 'xxxx');
    const script = `
      const fs = require('node:fs'); const left = fs.readFileSync('${file}', 'utf8');
      fs.writeFileSync('${file}', left.slice(1));
      ready(); console.log('port ' + process.env.PORT);
      if (left) setTimeout(() => process.kill(process.pid, 'SIGKILL'), 50);`;
    await supervisor.start(postOf('cat', script));
    await until(() => said.length === 5, 'the fifth life');
    await supervisor.stop(5_000);
    assert.equal(readFileSync(file, 'utf8'), '');
    assert.deepEqual(pauses, [500, 1_000, 2_000, 4_000]);
    assert.deepEqual(
      said,
      ['undefined', '4321', '4321', '4321', '4321'].map((port) => `cat stdout port ${port}`),
    );
  });

  it('gives up a process that cannot start, but none that could once', async () => {
    const { supervisor, said } = createTestSupervisor();
    await assert.rejects(supervisor.start(postOf('hopeless', `process.exit(2);`)), CannotStartError);
    const file = join(directory, 'starts');
    writeFileSync(file, '');
    // The surroundings are away for a while when it comes again.
    const script = `
      const fs = require('node:fs'); fs.appendFileSync('${file}', 'x');
      const life = fs.readFileSync('${file}', 'utf8').length;
      if (life === 2 || life === 3) process.exit(2);
      ready(); console.log('life ' + life);
      if (life === 1) setTimeout(() => process.exit(1), 50);`;
    await supervisor.start(postOf('patient', script));
    await until(() => said.includes('patient stdout life 4'), 'the fourth life');
    await supervisor.stop(5_000);
  });

  it('stops by SIGTERM, and by force what does not heed it', async () => {
    const { supervisor, said } = createTestSupervisor();
    const polite = `process.on('SIGTERM', () => { console.log('bye'); process.exit(0); }); ready();`;
    await supervisor.start(postOf('polite', polite));
    await supervisor.start(postOf('deaf', `process.on('SIGTERM', () => console.log('what?')); ready();`));
    await supervisor.stop(5_000, 'polite');
    assert.deepEqual(said, ['polite stdout bye']);
    await supervisor.stop(300);
    assert.deepEqual(said, ['polite stdout bye', 'deaf stdout what?']);
  });

  it('leaves no role behind when it is killed itself', async () => {
    const file = join(directory, 'orphan');
    const settings = { PATH: process.env.PATH, SANDBOX_PORT: '0', ORDERLY_DATA_DIR: directory };
    const post = { name: 'sandbox', args: ['sandbox'], env: settings, portSetting: 'SANDBOX_PORT' };
    const source = `
      import { writeFileSync } from 'node:fs';
      import { createSupervisor } from ${urlOf('src/io/supervisor.ts')};
      import { createSystem } from ${urlOf('src/io/system.ts')};
      const nothing = () => {};
      const debug = ({ pid }) => writeFileSync(${JSON.stringify(file)}, String(pid));
      const log = { debug, info: nothing, warn: nothing, error: nothing };
      const command = [process.execPath, ${JSON.stringify(join(root, 'src/main/cli.ts'))}];
      const supervisor = createSupervisor({ command, say: nothing, system: createSystem(), log });
      await supervisor.start(${JSON.stringify(post)});
      process.kill(process.pid, 'SIGKILL');`;
    const parent = spawn(process.execPath, ['--input-type=module', '-e', source], { stdio: 'ignore' });
    await once(parent, 'exit');
    const pid = Number(readFileSync(file, 'utf8'));
    assert.ok(pid > 0);
    try {
      await until(() => !isAlive(pid), 'the end of the sandbox');
    } finally {
      if (isAlive(pid)) process.kill(pid, 'SIGKILL');
    }
  });
});

const root = dirname(dirname(import.meta.dirname));
const urlOf = (path: string) => JSON.stringify(pathToFileURL(join(root, path)).href);

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
