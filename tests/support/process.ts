// The product as real processes: `node src/main/cli.ts ROLE` with exactly the settings a test gives, to be
// killed, frozen, continued or asked to stop.
//
// Promises: a role that `start` answers is ready; its output is kept whole; `close` ends what still runs
// and removes the scratch directory, and so does a guardian outside of this process when this one dies in
// any way. `close` also reads all that was ever said: no customer's address, no password may be in it.
// Relies on Linux or macOS, for a shell and signals.

import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createGuardian } from './guardian.ts';
import { until } from './until.ts';

export type Settings = Readonly<Record<string, string | number>>;
export type Ended = { readonly code: number | null; readonly stdout: string; readonly stderr: string };

export type Running = {
  // Of API, sandbox, or health and metrics; the word `null` where a role listens nowhere.
  readonly url: string;
  readonly pid: number;
  readonly said: () => string;
  // Its log, a record per line.
  readonly log: () => readonly LogLine[];
  readonly signal: (name: 'SIGTERM' | 'SIGINT' | 'SIGSTOP' | 'SIGCONT' | 'SIGKILL') => void;
  // Resolves when the process is gone, with nothing flushed, released or said.
  readonly kill9: () => Promise<void>;
  // Its exit code, null after a signal; fails when it has not ended after that long.
  readonly exit: (patienceMs?: number) => Promise<number | null>;
};
// A process that is not ready yet, and may never be.
export type Begun = Omit<Running, 'url'> & {
  // Fails with what it said when it ends instead.
  readonly ready: Promise<Running>;
  readonly ended: Promise<Ended>;
};
export type LogLine = {
  readonly time: string;
  readonly msg: string;
  readonly level: number;
  readonly [field: string]: unknown;
};

// As on the command line, such as `worker payment fulfillment`.
export type RoleCommand = 'start' | 'sandbox' | 'api' | 'relay' | `worker${string}` | `start --processes${string}`;

export type Processes = {
  // Removed by `close`.
  readonly directory: string;
  // Resolves when the role is ready; fails with what it said when it ends instead.
  readonly start: (role: RoleCommand, settings: Settings) => Promise<Running>;
  // The same for whoever wants to lay hands on it before.
  readonly begin: (role: RoleCommand, settings: Settings, patienceMs?: number) => Begun;
  // Runs a command to its end; fails with what it said when there is none.
  readonly run: (args: readonly string[], settings?: Settings, patienceMs?: number) => Promise<Ended>;
  // Words that no output may contain, such as a password.
  readonly keepSecret: (word: string) => void;
  readonly close: () => Promise<void>;
};

// Every customer of these tests has an address here, and nothing else has.
export const customersDomain = 'customers.invalid';

const root = dirname(dirname(import.meta.dirname));
// Where each role says that it is ready, and under which address: nothing after `url` where it has none.
const readyOf = (role: RoleCommand) => {
  if (role === 'sandbox') return /"url":"(http:[^"]+)"/;
  return role.startsWith('start') ? /running at (http:\S+) / : /"url":"?(http:[^"]+|null)"?,"msg":"running"/;
};
// The embedded database takes seconds to open on a loaded machine.
const readyMs = 40_000;
const exitMs = 15_000;
const runMs = 20_000;

// Of this checkout, or of that of another release.
export function createProcesses(checkout = root): Processes {
  const cli = join(checkout, 'src/main/cli.ts');
  // Roles start in little more than half the time from compiled code.
  const compiled = { NODE_COMPILE_CACHE: join(checkout, '.orderly/compiled') };
  const directory = mkdtempSync(join(tmpdir(), 'orderly-processes-'));
  const guardian = createGuardian(directory, 'KILL');
  const outputs: (() => string)[] = [];
  const secrets = new Set<string>();
  const alive = new Map<ChildProcess, Promise<Ended>>();

  function launch(args: readonly string[], settings: Settings) {
    const given = Object.entries(settings).map(([name, value]) => [name, String(value)]);
    const child = spawn(process.execPath, ['--max-semi-space-size=8', cli, ...args], {
      cwd: checkout,
      env: { PATH: process.env.PATH ?? '', ...compiled, ...Object.fromEntries(given) },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    guardian.tell('+', child.pid ?? 0);
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    const said = () => stdout + stderr;
    outputs.push(said);
    // `close` comes after the last output was read.
    const ended = once(child, 'close').then(([code]): Ended => {
      alive.delete(child);
      guardian.tell('-', child.pid ?? 0);
      return { code: code as number | null, stdout, stderr };
    });
    alive.set(child, ended);
    return { child, said, ended };
  }

  function begin(role: RoleCommand, settings: Settings, patienceMs = readyMs): Begun {
    const { child, said, ended } = launch(role.split(' '), settings);
    const begun = {
      pid: child.pid ?? 0,
      said,
      log: () =>
        said()
          .split('\n')
          .filter((line) => line.startsWith('{'))
          .map((line) => JSON.parse(line) as LogLine),
      signal: (name: NodeJS.Signals) => void child.kill(name),
      kill9: async () => {
        child.kill('SIGKILL');
        await ended;
      },
      exit: async (patienceMs = exitMs) => {
        await until(() => !alive.has(child), `the end of ${role}`, { patienceMs });
        return (await ended).code;
      },
    };
    const isReady = async (): Promise<Running> => {
      const look = () => (alive.has(child) ? readyOf(role).exec(said())?.[1] : 'ended');
      const url = await until(look, `${role} to be ready`, { patienceMs }).catch((error: Error) => {
        error.message += `\nIt said:\n${said()}`;
        throw error;
      });
      if (url === 'ended') throw new Error(`${role} ended instead of being ready:\n${said()}`);
      return { url, ...begun };
    };
    return { ...begun, ready: isReady(), ended };
  }

  return {
    directory,
    begin,
    start: (role, settings) => begin(role, settings).ready,
    run: async (args, settings = {}, patienceMs = runMs) => {
      const { child, said, ended } = launch(args, settings);
      const isOver = () => {
        if (!alive.has(child)) return true;
        throw new Error(said());
      };
      await until(isOver, `the end of ${args.join(' ')}`, { patienceMs });
      return ended;
    },
    keepSecret: (word) => void secrets.add(word),
    close: async () => {
      for (const child of alive.keys()) child.kill('SIGKILL');
      await Promise.all(alive.values());
      await guardian.end();
      for (const said of outputs) assertDiscreet(said(), secrets);
    },
  };
}

function assertDiscreet(output: string, secrets: ReadonlySet<string>): void {
  for (const word of [customersDomain, ...secrets]) {
    const line = output.split('\n').find((each) => each.includes(word));
    assert.equal(line, undefined, `"${word}" must not be said, but a line has it`);
  }
}

// A port for a role that will be started again under the same address. Below the ranges from which Linux
// and macOS take the ports of outgoing connections, so that nobody gets it while the role is away.
export async function findPort(): Promise<number> {
  return until(async () => {
    const port = randomInt(20_000, 32_000);
    const server = createServer().listen(port, '127.0.0.1');
    await once(server, 'listening');
    server.close();
    await once(server, 'close');
    return port;
  }, 'a free port');
}
