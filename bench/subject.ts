// What is measured: Orderly `start` as a process of its own, on a real PostgreSQL server or on its
// embedded database, with its simulated partners in process; or roles as processes, with the sandbox.
//
// Promises: a new server and a new, migrated database for each subject; settings are Orderly's defaults;
// a load runs in yet another process. `close` ends and removes all of it.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { Client } from 'pg';
import { type Postgres, startPostgres } from '../tests/support/postgres.ts';
import { createProcesses, type RoleCommand, type Running, type Settings } from '../tests/support/process.ts';
import { connect, get } from './http.ts';
import type { Kind, LoadReport, Plan } from './load.ts';

export type Rows = readonly Readonly<Record<string, unknown>>[];
export type Layout = {
  // The first one is talked to.
  readonly roles: readonly RoleCommand[];
  readonly settings: Settings;
};
const oneProcess: Layout = { roles: ['start'], settings: {} };

export type Subject = {
  readonly start: () => Promise<void>;
  // Gracefully, so that the database's statistics are complete.
  readonly stop: () => Promise<void>;
  readonly load: (plan: Kind) => Promise<LoadReport>;
  // Of all its processes together.
  readonly residentMb: () => Promise<number>;
  // One statement on the subject's own database; not for the embedded one.
  readonly sql: (statement: string, values?: readonly unknown[]) => Promise<Rows>;
  readonly close: () => Promise<void>;
};

// All else is PostgreSQL's default, fsync included.
export const postgresSettings = { shared_buffers: '256MB' } as const;

// `extra` goes on top of `postgresSettings`; null = the embedded database.
export async function createSubject(
  extra: Readonly<Record<string, string>> | null,
  { roles, settings: more }: Layout = oneProcess,
): Promise<Subject> {
  const processes = createProcesses();
  let postgres: Postgres | null = null;
  let running: readonly Running[] = [];
  let client: Client | null = null;

  const close = async () => {
    await client?.end();
    await processes.close();
    await postgres?.stop();
  };

  try {
    const settings: Record<string, string | number> = {
      ...{ PORT: 0, SANDBOX_PORT: 0, ORDERLY_DATA_DIR: join(processes.directory, 'data') },
      ...more,
    };
    if (extra !== null) {
      postgres = await startPostgres({ settings: { ...postgresSettings, ...extra } });
      const connectionString = await postgres.createDatabase();
      settings.DATABASE_URL = connectionString;
      const migrated = await processes.run(['migrate'], settings);
      if (migrated.code !== 0) throw new Error(`the schema could not be made:\n${migrated.stdout}${migrated.stderr}`);
      client = new Client({ connectionString, application_name: 'bench' });
      await client.connect();
    }
    if (!roles[0]?.startsWith('start')) {
      settings.WORKER_PORT = 0;
      settings.PARTNERS_URL = (await processes.start('sandbox', settings)).url;
    }
    const ports = () => running.map(({ url }) => Number(new URL(url).port));

    return {
      start: async () => {
        running = await Promise.all(roles.map((role) => processes.start(role, settings)));
      },
      stop: async () => {
        for (const { signal } of running) signal('SIGTERM');
        await Promise.all(running.map(({ exit }) => exit()));
        running = [];
      },
      load: (kind) => {
        const [port = 0, ...others] = ports();
        return runLoad({ ...kind, port, metricsPorts: [port, ...others] });
      },
      residentMb: async () => {
        const each = ports().map(async (port) => {
          const connection = await connect(port);
          const { body } = await connection.send(get('/metrics'));
          connection.close();
          return Number(/^process_resident_memory_bytes (\S+)/m.exec(body)?.[1]) / 1e6;
        });
        return (await Promise.all(each)).reduce((total, mb) => total + mb, 0);
      },
      sql: async (statement, values = []) => {
        if (client === null) throw new Error('the embedded database cannot be asked from outside');
        return (await client.query(statement, [...values])).rows;
      },
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

async function runLoad(plan: Plan): Promise<LoadReport> {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'load.ts'), JSON.stringify(plan)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [said, [code]] = await Promise.all([text(child.stdout), once(child, 'exit')]);
  if (code !== 0) throw new Error(`the load ended with exit code ${code}`);
  return JSON.parse(said) as LoadReport;
}
