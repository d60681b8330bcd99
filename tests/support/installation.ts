// One installation for a test: an empty database on a real PostgreSQL server, the sandbox as a process of
// its own, and as many processes on them as the test starts, one after the other or side by side.
//
// `inInstallation` leaves nothing running; when the story fails, what the processes said last is told too.

import pg from 'pg';
import { connectServer, type Query } from '../../src/io/postgres/database.ts';
import { audit, awaitRest, readLedger } from './audit.ts';
import { type Client, createClient } from './client.ts';
import type { Postgres } from './postgres.ts';
import { createProcesses, findPort, type Processes, type RoleCommand, type Running, type Settings } from './process.ts';
import { silentLog } from './silent-log.ts';
import { until } from './until.ts';

// Short enough for a test, long enough that a loaded machine does not time out what is well.
export const quickSettings: Settings = {
  ORDER_WORKER_LEASE_MS: 2_500,
  ORDER_WORKER_TIMEOUT_MS: 1_400,
  ORDER_WORKER_RETRY_DELAY_MS: 10,
  ORDER_WORKER_RETRY_DELAY_MAX_MS: 50,
  DATABASE_POOL_MAX: 4,
};
// A hanging test is worse than a failing one.
export const slowestTest = { timeout: 100_000 };

export type Installation = {
  readonly processes: Processes;
  readonly settings: Settings;
  readonly databaseUrl: string;
  readonly sql: Query;
  // Talks to the `start` or `api` that was started last, or to the process it is told to.
  readonly client: Client;
  readonly talkTo: (process: Running) => void;
  readonly start: (more?: Settings) => Promise<Running>;
  // Another role on the same orders; an `api` is talked to from then on.
  readonly startRole: (role: RoleCommand, more?: Settings) => Promise<Running>;
  // The same data, the same address.
  readonly startSandbox: () => Promise<Running>;
  readonly sandbox: () => Running;
  // A stage direction for the sandbox, such as { call: 'authorize', act: 'hang-before' }.
  readonly direct: (direction: object) => Promise<void>;
  // Resolves when exactly so many calls hang at the sandbox.
  readonly hanging: (calls: number) => Promise<void>;
  // From now on whatever places orders waits in its commit, until released; to be called once.
  readonly stallCommits: () => Promise<Stall>;
  // Waits until nothing is owed to anybody, then judges.
  readonly audited: (options?: { readonly retriesMore?: number; readonly patienceMs?: number }) => Promise<void>;
};

export type Stall = {
  // Resolves when a commit waits.
  readonly isMet: () => Promise<void>;
  readonly release: () => Promise<void>;
};

export async function inInstallation(
  postgres: Postgres,
  more: Settings,
  story: (installation: Installation) => Promise<void>,
): Promise<void> {
  const processes = createProcesses();
  const databaseUrl = await postgres.createDatabase();
  processes.keepSecret(new URL(databaseUrl).password);
  const database = connectServer({ url: databaseUrl, poolMax: 2, log: silentLog });
  const { query: sql } = database;
  const roles: { readonly role: RoleCommand; readonly started: Running }[] = [];
  let url = 'http://nobody.invalid';
  const client = createClient(() => url);
  let failed = false;
  try {
    const sandboxPort = await findPort();
    const sandboxSettings = { SANDBOX_PORT: sandboxPort, ORDERLY_DATA_DIR: processes.directory };
    const startSandbox = () => processes.start('sandbox', sandboxSettings);
    let sandbox = await startSandbox();
    const { url: sandboxUrl } = sandbox;
    const settings = { ...quickSettings, DATABASE_URL: databaseUrl, PARTNERS_URL: sandboxUrl, PORT: 0, ...more };
    const startRole = async (role: RoleCommand, extra: Settings = {}) => {
      const started = await processes.start(role, { ...settings, ...extra });
      roles.push({ role, started });
      if (role === 'api' || role.startsWith('start')) url = started.url;
      return started;
    };
    await story({
      processes,
      settings,
      databaseUrl,
      sql,
      client,
      talkTo: (process) => {
        url = process.url;
      },
      start: (extra) => startRole('start', extra),
      startRole,
      startSandbox: async () => {
        sandbox = await startSandbox();
        return sandbox;
      },
      sandbox: () => sandbox,
      direct: async (direction) => {
        const headers = { 'content-type': 'application/json' };
        const init = { method: 'POST', headers, body: JSON.stringify(direction) };
        const response = await fetch(`${sandboxUrl}/control`, init);
        if (response.status !== 200) throw new Error(`the sandbox takes no direction: ${await response.text()}`);
      },
      hanging: async (calls) => {
        const look = async () => {
          const stage = (await (await fetch(`${sandboxUrl}/control`)).json()) as { hanging: number };
          if (stage.hanging !== calls) throw new Error(`${stage.hanging} hang`);
          return true;
        };
        await until(look, `${calls} calls that hang at the sandbox`);
      },
      stallCommits: () => stallCommits(databaseUrl, sql),
      audited: async ({ retriesMore = 0, patienceMs = 20_000 } = {}) => {
        await awaitRest(sql, patienceMs);
        await audit({ client, sql, ledger: await readLedger(sandboxUrl), retriesMore });
      },
    });
  } catch (error) {
    failed = true;
    if (error instanceof Error) {
      const said = roles.map(({ role, started }) => `${role} said last:\n${started.said().slice(-1_500)}`);
      error.message += `\n${said.join('\n')}`;
    }
    throw error;
  } finally {
    client.leave();
    await database.close();
    // The story's failure is the first one to hear of.
    await processes.close().catch((error) => {
      if (!failed) throw error;
    });
  }
}

// A trigger that waits for a lock of ours at the end of each transaction that places orders.
const waitAtCommit = `
  CREATE FUNCTION wait_at_commit() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN NULL; END';
  CREATE CONSTRAINT TRIGGER orders_wait AFTER INSERT ON orders DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION wait_at_commit()`;

async function stallCommits(databaseUrl: string, sql: Query): Promise<Stall> {
  const stranger = new pg.Client({ connectionString: databaseUrl });
  // Its server may be killed.
  stranger.on('error', () => undefined);
  await stranger.connect();
  await stranger.query(`SELECT pg_advisory_lock(1); ${waitAtCommit}`);
  return {
    isMet: async () => {
      const waits = `SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted`;
      await until(async () => (await sql(waits)).length > 0, 'a commit that waits for the lock');
    },
    release: () => stranger.end(),
  };
}
