// One contender on one new PostgreSQL server, or on the embedded database, with everything that a measurement
// asks of it: load, statements, CPU, memory.
//
// Promises: server and database are new, fsync is on, all but `shared_buffers` is PostgreSQL's default;
// `pg_stat_statements` is loaded and counts nothing until it is told to. `close` ends and removes all of it,
// and so does the end of this process by an exit or a signal that it can see.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { Client } from 'pg';
import { type Postgres, startPostgres } from '../tests/support/postgres.ts';
import { findPort } from '../tests/support/process.ts';
import { until } from '../tests/support/until.ts';
import type { Contender } from './contender.ts';
import { connect, get } from './http.ts';
import type { Kind, LoadReport, Plan } from './load.ts';
import { cpuMs, machineCpuMs, parentOf, peakMb, residentMb } from './usage.ts';

export type Rows = readonly Readonly<Record<string, unknown>>[];
export type Trial = Awaited<ReturnType<typeof createTrial>>;
export type Database = 'server' | 'embedded';

const postgresSettings = {
  shared_buffers: '256MB',
  shared_preload_libraries: 'pg_stat_statements',
  'pg_stat_statements.track': 'none',
};
const readyMs = 60_000;
// Orderly ends within 10 s, and may be behind a busy disk.
const endMs = 30_000;
const saidLength = 8_000;

const alive = new Set<ChildProcess>();
const directories = new Set<string>();
process.on('exit', () => {
  for (const child of alive) child.kill('SIGKILL');
  for (const directory of directories) rmSync(directory, { recursive: true, force: true });
});
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(1));

export async function withTrial<T>(
  contender: Contender,
  database: Database,
  act: (trial: Trial) => Promise<T>,
): Promise<T> {
  const trial = await createTrial(contender, database);
  try {
    return await act(trial);
  } catch (error) {
    if (error instanceof Error) error.message = `${contender.name}: ${error.message}\n${trial.said()}`;
    throw error;
  } finally {
    await trial.close();
  }
}

async function createTrial(contender: Contender, database: Database) {
  const directory = mkdtempSync(join(tmpdir(), 'orderly-bench-'));
  directories.add(directory);
  let postgres: Postgres | null = null;
  let client: Client | null = null;
  let holder: Client | null = null;
  let postmaster = Number.NaN;
  let running: ChildProcess | null = null;
  let port = 0;
  let said = '';

  const launch = (args: readonly string[], settings: Readonly<Record<string, string>>) => {
    const child = spawn(process.execPath, [...args], {
      cwd: contender.directory,
      env: { PATH: process.env.PATH ?? '', NODE_ENV: 'production', ...settings },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    alive.add(child);
    child.once('close', () => alive.delete(child));
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding('utf8').on('data', (chunk: string) => {
        said = (said + chunk).slice(-saidLength);
      });
    }
    return child;
  };
  const sql = async (statement: string, values: readonly unknown[] = []): Promise<Rows> => {
    if (client === null) throw new Error('the embedded database cannot be asked from outside');
    return (await client.query(statement, [...values])).rows;
  };
  const ask = async (path: string) => {
    const connection = await connect(port);
    return await connection.send(get(path)).finally(connection.close);
  };
  const end = async (signal: 'SIGTERM' | 'SIGKILL') => {
    const child = running;
    running = null;
    if (child === null || !alive.has(child)) return;
    const closed = once(child, 'close');
    const impatience = setTimeout(() => child.kill('SIGKILL'), endMs);
    child.kill(signal);
    await closed;
    clearTimeout(impatience);
  };
  const pid = () => running?.pid ?? 0;
  const settings: Record<string, string> = { ...contender.settings, ORDERLY_DATA_DIR: join(directory, 'data') };

  const trial = {
    said: () => said,
    start: async () => {
      port = await findPort();
      running = launch(contender.start, { ...settings, PORT: String(port) });
      const look = async () => {
        if (running === null || !alive.has(running)) return 'ended';
        return (await ask(contender.readyPath)).status === 200;
      };
      const state = await until(look, 'it to be ready', { patienceMs: readyMs });
      if (state === 'ended') throw new Error('it ended instead of being ready');
    },
    // In order, so that the database's statistics are complete.
    stop: () => end('SIGTERM'),
    kill: () => end('SIGKILL'),
    load: (kind: Kind) => runLoad({ ...kind, port, progress: { pattern: contender.finished } }),
    get: ask,
    sql,
    // Since their start, in milliseconds.
    cpu: () => ({
      process: [pid(), ...contender.besides()].reduce((total, each) => total + cpuMs(each), 0),
      postgres: cpuMs(postmaster),
      machine: machineCpuMs(),
    }),
    peakMb: () => [pid(), ...contender.besides()].reduce((total, each) => total + peakMb(each), 0),
    residentMb: () => residentMb(pid()),
    close: async () => {
      await end('SIGTERM');
      await holder?.end();
      await client?.end();
      await postgres?.stop();
      rmSync(directory, { recursive: true, force: true });
      directories.delete(directory);
    },
  };

  try {
    await contender.reset?.();
    if (database === 'server') {
      postgres = await startPostgres({ settings: postgresSettings });
      const connectionString = await postgres.createDatabase();
      settings.DATABASE_URL = connectionString;
      if (contender.prepare !== null) {
        const [code] = await once(launch(contender.prepare, settings), 'close');
        if (code !== 0) throw new Error(`its schema could not be made:\n${said}`);
      }
      client = new Client({ connectionString, application_name: 'bench' });
      await client.connect();
      await sql('CREATE EXTENSION pg_stat_statements');
      const [backend] = await sql('SELECT pg_backend_pid() AS pid');
      postmaster = parentIfAny(Number(backend?.pid));
      if (contender.isSnapshotHeld) {
        holder = new Client({ connectionString, application_name: 'bench-holder' });
        await holder.connect();
        await holder.query('BEGIN ISOLATION LEVEL REPEATABLE READ');
        await holder.query('SELECT 1');
      }
    }
    return trial;
  } catch (error) {
    await trial.close();
    throw error;
  }
}

function parentIfAny(pid: number): number {
  try {
    return parentOf(pid);
  } catch {
    return Number.NaN;
  }
}

async function runLoad(plan: Plan): Promise<LoadReport> {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'load.ts'), JSON.stringify(plan)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  alive.add(child);
  const [answer, [code]] = await Promise.all([text(child.stdout), once(child, 'close')]);
  alive.delete(child);
  if (code !== 0) throw new Error(`the load ended with exit code ${code}`);
  return JSON.parse(answer) as LoadReport;
}
