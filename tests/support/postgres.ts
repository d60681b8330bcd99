// A real PostgreSQL server for tests, demo and benchmark: the binaries come from npm, the data lives
// in a directory of its own under the system's temporary directory, fsync is on.
//
// Promises: listens on loopback only, under a random password; `createDatabase` gives each caller a
// database that nobody else uses, made from one prepared template; server and data are gone after
// `stop`, and also when this process dies in any way, SIGKILL included: a guardian outside of it sees
// its pipe close. Works as root (the server then runs as `nobody`) and creates no user for that.
// Relies on Linux or macOS, for a shell and signals.

import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { randomBytes, randomInt } from 'node:crypto';
import { once } from 'node:events';
import { chmod, chown, mkdir, mkdtemp, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Client } from 'pg';
import { childrenOf, signalIfAlive } from '../../services/process.ts';
import { createGuardian } from './guardian.ts';
import { identityOf, reachableBinaries } from './postgres-binaries.ts';

export type Postgres = {
  readonly port: number;
  // The URL of a new database, a copy of what `prepare` left in the template.
  readonly createDatabase: () => Promise<string>;
  // SIGKILL for the server and its backends: what is not on disk is lost, no statement is finished.
  readonly kill9: () => Promise<void>;
  // SIGKILL for the server alone: its backends find out by themselves, each after what it is at.
  readonly kill9Alone: () => Promise<void>;
  // PostgreSQL's immediate stop: no statement is finished, no checkpoint written.
  readonly stopAtOnce: () => Promise<void>;
  // Starts the server again, on the same port and data; one that still runs is stopped in order before.
  readonly restart: () => Promise<void>;
  // A server with a copy of this one's data that replays what never comes: a standby that is cut off, and read-only. This
  // one is away for the moment of the copy.
  readonly startStandby: () => Promise<Postgres>;
  // Ends the server and removes its data. May be repeated.
  readonly stop: () => Promise<void>;
  // The last lines of the server's log, for the message of a failure.
  readonly log: () => string;
};

export type PostgresOptions = {
  // Brings the schema into the template once; must have closed its connections when it resolves.
  readonly prepare?: (url: string) => Promise<void>;
  // Settings of postgresql.conf, such as { max_connections: '20' }.
  readonly settings?: Readonly<Record<string, string>>;
};

// Below the ranges from which Linux and macOS take the ports of outgoing connections: a client that
// retries while the server is away could otherwise be given the server's own port, and meet itself.
const firstPort = 20_000;
const lastPort = 32_000;

// After SIGKILL of the server its backends live on for a moment and hold the shared memory; a start
// meanwhile is refused. 200 tries, 50 ms apart, are 10 s.
const startTries = 200;
const startPauseMs = 50;
const logLength = 20_000;

const user = 'orderly';
const run = promisify(execFile);

type Origin = { readonly data: string; readonly password: string };

export async function startPostgres(
  { prepare, settings = {} }: PostgresOptions = {},
  origin: Origin | null = null,
): Promise<Postgres> {
  const directory = await mkdtemp(join(await realpath(tmpdir()), 'orderly-postgres-'));
  // SIGQUIT is PostgreSQL's stop without a checkpoint: the data is thrown away.
  const guardian = createGuardian(directory, 'QUIT');

  const password = origin?.password ?? randomBytes(16).toString('hex');
  const urlOf = (database: string) => `postgres://${user}:${password}@127.0.0.1:${port}/${database}`;
  let port = randomInt(firstPort, lastPort);
  let server: ChildProcess | null = null;
  let log = '';

  const identity = await identityOf();
  if (identity !== null) await chmod(directory, 0o755);
  const binaries = await reachableBinaries(directory, identity);
  // The server wants a fixed locale (LC_ALL; macOS refuses to start without) and nothing of ours.
  const surroundings = { ...identity, cwd: directory, env: { LC_ALL: 'C', TZ: 'UTC' } };

  const initialize = async () => {
    const passwordFile = join(directory, 'password');
    await mkdir(join(directory, 'data'), { mode: 0o700 });
    await writeFile(passwordFile, password, { mode: 0o600 });
    for (const path of [join(directory, 'data'), passwordFile]) {
      if (identity !== null) await chown(path, identity.uid, identity.gid);
    }
    const locale = ['--encoding=UTF8', '--locale=C', '--locale-provider=builtin', '--builtin-locale=C.UTF-8'];
    const options = [`--username=${user}`, `--pwfile=${passwordFile}`, '--auth=scram-sha-256', '--no-sync', ...locale];
    await run(binaries.initdb, ['-D', join(directory, 'data'), ...options], surroundings);
    await rm(passwordFile);
  };

  const copy = async ({ data }: Origin) => {
    await run('cp', ['-a', data, join(directory, 'data')]);
    await run('cp', ['-a', join(data, 'PG_VERSION'), join(directory, 'data', 'standby.signal')]);
  };

  // Resolves with null when the server is ready, else with what it said.
  const launch = () =>
    new Promise<string | null>((resolve, reject) => {
      const fixed = { listen_addresses: '127.0.0.1', unix_socket_directories: '', max_connections: '100' };
      const flags = Object.entries({ ...fixed, ...settings }).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
      const child = spawn(binaries.postgres, ['-D', join(directory, 'data'), '-p', String(port), ...flags], {
        ...surroundings,
        detached: true,
        stdio: ['ignore', 'ignore', 'pipe'],
      });
      let said = '';
      child.stderr.setEncoding('utf8').on('data', (text: string) => {
        log = (log + text).slice(-logLength);
        if (server === child) return;
        said += text;
        if (!/ready to accept (read-only )?connections/.test(said)) return;
        server = child;
        hold(child, false);
        resolve(null);
      });
      child.once('spawn', () => guardian.tell('+', child.pid ?? 0));
      child.once('error', reject);
      child.once('close', () => {
        if (server === child) server = null;
        guardian.tell('-', child.pid ?? 0);
        resolve(said);
      });
    });

  const start = async (mayMove: boolean) => {
    for (let tries = 1; ; tries += 1) {
      const said = await launch();
      if (said === null) return;
      const portTaken = said.includes('could not create any TCP/IP sockets');
      const wait = portTaken || said.includes('is still in use') || said.includes('already exists');
      if (!wait || tries === startTries) throw new Error(`PostgreSQL does not start:\n${said}`);
      if (portTaken && mayMove) port = randomInt(firstPort, lastPort);
      await pause(startPauseMs);
    }
  };

  const end = async (signal: 'SIGKILL' | 'SIGINT' | 'SIGQUIT', withBackends = false) => {
    if (server === null) return;
    const closed = once(server, 'close');
    hold(server, true);
    // A backend that is busy would end its statement, and commit it, long after its server's death.
    const backends = withBackends ? childrenOf(server.pid ?? 0) : [];
    server.kill(signal);
    for (const pid of backends) signalIfAlive(pid, 'SIGKILL');
    // The backends share the server's log, which closes when the last of them is gone.
    await closed;
  };

  const administer = async (statement: string) => {
    const client = new Client({ connectionString: urlOf('postgres') });
    await client.connect();
    await client.query(statement).finally(() => client.end());
  };

  let databases = 0;
  const postgres: Postgres = {
    get port() {
      return port;
    },
    createDatabase: async () => {
      databases += 1;
      const name = `orderly_${databases}`;
      await administer(`CREATE DATABASE ${name} TEMPLATE orderly_template`);
      return urlOf(name);
    },
    kill9: () => end('SIGKILL', true),
    kill9Alone: () => end('SIGKILL'),
    stopAtOnce: () => end('SIGQUIT'),
    restart: async () => {
      await end('SIGINT');
      await start(false);
    },
    startStandby: async () => {
      await end('SIGINT');
      try {
        return await startPostgres({ settings }, { data: join(directory, 'data'), password });
      } finally {
        await start(false);
      }
    },
    stop: guardian.end,
    log: () => log,
  };

  try {
    if (origin !== null) {
      await copy(origin);
      await start(true);
      return postgres;
    }
    await initialize();
    await start(true);
    await administer('CREATE DATABASE orderly_template');
    await prepare?.(urlOf('orderly_template'));
    return postgres;
  } catch (error) {
    await postgres.stop();
    throw error;
  }
}

// A running server keeps this process alive only while somebody waits for it.
function hold(child: ChildProcess, isHeld: boolean): void {
  for (const handle of [child, child.stderr, child.stdin] as ({ ref: () => void; unref: () => void } | null)[]) {
    if (isHeld) handle?.ref();
    else handle?.unref();
  }
}
