// What is measured: Orderly `start` as a process of its own, on a real PostgreSQL server or on its
// embedded database, with its simulated partners in process.
//
// Promises: a new server and a new, migrated database for each subject; settings are Orderly's defaults;
// a load runs as a third process. `close` ends and removes all of it.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { Client } from 'pg';
import { type Postgres, startPostgres } from '../tests/support/postgres.ts';
import { createProcesses, type Running } from '../tests/support/process.ts';
import { connect, get } from './http.ts';
import type { LoadReport, Plan } from './load.ts';

export type Rows = readonly Readonly<Record<string, unknown>>[];
// A plan without the port, which only the subject knows.
export type AnyPlan = Plan extends infer P ? (P extends Plan ? Omit<P, 'port'> : never) : never;

export type Subject = {
  readonly start: () => Promise<void>;
  // Gracefully, so that the database's statistics are complete.
  readonly stop: () => Promise<void>;
  readonly load: (plan: AnyPlan) => Promise<LoadReport>;
  readonly residentMb: () => Promise<number>;
  // One statement on the subject's own database; not for the embedded one.
  readonly sql: (statement: string, values?: readonly unknown[]) => Promise<Rows>;
  readonly close: () => Promise<void>;
};

// All else is PostgreSQL's default, fsync included.
export const postgresSettings = { shared_buffers: '256MB' } as const;

// `extra` goes on top of `postgresSettings`; null = the embedded database.
export async function createSubject(extra: Readonly<Record<string, string>> | null): Promise<Subject> {
  const processes = createProcesses();
  let postgres: Postgres | null = null;
  let running: Running | null = null;
  let client: Client | null = null;

  const close = async () => {
    await client?.end();
    await processes.close();
    await postgres?.stop();
  };

  try {
    const settings: Record<string, string> = { PORT: '0', ORDERLY_DATA_DIR: join(processes.directory, 'data') };
    if (extra !== null) {
      postgres = await startPostgres({ settings: { ...postgresSettings, ...extra } });
      settings.DATABASE_URL = await postgres.createDatabase();
      const migrated = await processes.run(['migrate'], settings);
      if (migrated.code !== 0) throw new Error(`the schema could not be made:\n${migrated.stderr}`);
      client = new Client({ connectionString: settings.DATABASE_URL, application_name: 'bench' });
      await client.connect();
    }
    const port = () => Number(new URL(running?.url ?? '').port);

    return {
      start: async () => {
        running = await processes.start('start', settings);
      },
      stop: async () => {
        running?.signal('SIGTERM');
        await running?.exit();
        running = null;
      },
      load: (plan) => runLoad({ ...plan, port: port() } as Plan),
      residentMb: async () => {
        const connection = await connect(port());
        const { body } = await connection.send(get('/metrics'));
        connection.close();
        return Number(/^process_resident_memory_bytes (\S+)/m.exec(body)?.[1]) / 1e6;
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
