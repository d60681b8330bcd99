// The three databases of the differential test: a PostgreSQL server, PGlite, and the model.

import { PGlite } from '@electric-sql/pglite';
import { createPgConfig } from '@electric-sql/pglite/node-postgres';
import pg from 'pg';
import { createDatabase, types } from '../../../../src/io/postgres/database.ts';
import { migrate } from '../../../../src/io/postgres/migrate.ts';
import { subscribedTypes } from '../../../../src/main/open-database.ts';
import { silentLog } from '../../../support/silent-log.ts';
import { startServer } from '../../../support/store.ts';
import { createModelServer, type ModelServer, type ModelSession } from '../server.ts';
import type { Backend, Connection } from './backend.ts';

const tableNames = [
  ...['orders', 'idempotency_keys', 'events', 'cursors', 'deliveries'],
  ...['dead_letters', 'attempts', 'watermarks', 'audit_log', 'analytics'],
];
// As the migration leaves them.
const emptied = `TRUNCATE ${tableNames.filter((name) => !/cursors|watermarks/.test(name)).join(', ')} RESTART IDENTITY;
  UPDATE cursors SET read_to = 0, gaps = '{}', token = NULL, lease_until = '-infinity'; UPDATE watermarks SET xid = '0'`;

const realTick = () => Date.now();

async function readTables(query: (text: string) => Promise<{ rows: object[] }>) {
  const tables: Record<string, object[]> = {};
  for (const name of tableNames) tables[name] = (await query(`SELECT * FROM ${name}`)).rows;
  return tables;
}

// A statement is taken for blocked when it has waited longer than PostgreSQL takes to find a deadlock.
const deadlockSettings = { deadlock_timeout: '1ms' };
const blockedBy = `SELECT l.pid, (pg_blocking_pids(l.pid))[1] AS by FROM pg_locks l
  WHERE NOT l.granted AND l.waitstart < clock_timestamp() - interval '5 milliseconds' AND l.pid = ANY($1)`;

export async function openPostgres(count: number): Promise<Backend> {
  // Whatever else writes in the server would be a transaction that runs.
  const postgres = await startServer({ autovacuum: 'off', ...deadlockSettings });
  const url = await postgres.createDatabase();
  const connect = async () => {
    const client = new pg.Client({ connectionString: url, application_name: 'orderly', types });
    await client.connect();
    return client;
  };
  const admin = await connect();
  const clients = await Promise.all(Array.from({ length: count }, connect));
  const pids = await Promise.all(
    clients.map(async (client) => (await client.query('SELECT pg_backend_pid() AS pid')).rows[0].pid as number),
  );
  return {
    name: 'PostgreSQL',
    tick: realTick,
    connections: clients as unknown as Connection[],
    blockers: async (inFlight) => {
      const { rows } = await admin.query<{ pid: number; by: number | null }>(blockedBy, [inFlight.map((i) => pids[i])]);
      const waits = new Map(rows.map(({ pid, by }) => [pids.indexOf(pid), by === null ? null : pids.indexOf(by)]));
      return new Map(inFlight.map((index) => [index, waits.get(index) ?? null]));
    },
    reset: async () => void (await admin.query(emptied)),
    tables: () => readTables((text) => admin.query(text)),
    close: async () => {
      await Promise.all([admin, ...clients].map((client) => client.end()));
      await postgres.stop();
    },
  };
}

export async function openPglite(): Promise<Backend> {
  const pglite = await PGlite.create();
  const pool = new pg.Pool({ ...createPgConfig(pglite), max: 1, types } as unknown as pg.PoolConfig);
  const close = async () => {
    await pool.end();
    await pglite.close();
  };
  await migrate(
    createDatabase({ pool, log: silentLog, turn: async () => {}, onClose: async () => {} }),
    subscribedTypes,
  );
  const client = await pool.connect();
  return {
    name: 'PGlite',
    tick: realTick,
    connections: [client as unknown as Connection],
    blockers: async (inFlight) => new Map(inFlight.map((index) => [index, null])),
    reset: async () => void (await client.query(emptied)),
    tables: () => readTables((text) => client.query(text)),
    close: async () => {
      client.release();
      await close();
    },
  };
}

// The model with the clock of the run that it is compared with. A wait is looked at for a deadlock at the
// end of the step in which it began, and ends by itself never.
export function openModel(count: number, ticks: readonly number[]): Backend & { readonly server: () => ModelServer } {
  let nowMs = 0;
  let looks: { readonly ms: number; readonly call: () => void; isOver: boolean }[] = [];
  let server = create();
  let sessions = Array.from({ length: count }, () => server.connect());
  function create(): ModelServer {
    looks = [];
    return createModelServer({
      nowMs: () => nowMs,
      after: (ms, call) => {
        const look = { ms, call, isOver: false };
        looks.push(look);
        return {
          cancel: () => {
            look.isOver = true;
          },
        };
      },
      subscribed: subscribedTypes,
    });
  }
  return {
    name: 'the model',
    server: () => server,
    tick: (step) => {
      nowMs = Math.max(nowMs + 1, ticks[step] ?? 0);
      return nowMs;
    },
    connections: sessions.map((_, index) => ({
      query: async (text, values) =>
        (await (sessions[index] as ModelSession).execute(text, values)) as { rows: object[] },
    })),
    blockers: async (inFlight) => {
      const due = looks;
      looks = [];
      for (const look of due) if (!look.isOver) look.call();
      const blockerOf = (index: number) => server.waitsFor(index + 1);
      return new Map(
        inFlight
          .map((index) => [index, (blockerOf(index) ?? 0) - 1] as const)
          .map(([index, by]) => [index, by < 0 ? null : by]),
      );
    },
    reset: async () => {
      server = create();
      sessions = Array.from({ length: count }, () => server.connect());
    },
    tables: async () => server.tables(),
    close: async () => {},
  };
}
