// API, relay and workers as processes of their own on one database, with a broker that nobody can reach:
// what needs no broker must work without it.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { dirname } from 'node:path';
import { after, before, describe, it } from 'node:test';
import pg from 'pg';
import { startBalancer } from '../support/balancer.ts';
import { createClient, startLoad } from '../support/client.ts';
import { inInstallation, slowestTest } from '../support/installation.ts';
import type { Postgres } from '../support/postgres.ts';
import { findPort, type Settings } from '../support/process.ts';
import { readSamples } from '../support/prometheus.ts';
import { until } from '../support/until.ts';
import { startServer } from '../support/world.ts';

// Nobody listens there.
const brokerAway: Settings = { BUS: 'kafka', KAFKA_BROKERS: '127.0.0.1:1' };

const root = dirname(dirname(import.meta.dirname));

describe('the roles as processes', slowestTest, () => {
  let postgres: Postgres;
  before(async () => {
    postgres = await startServer();
  });
  after(() => postgres.stop());

  it('fail no request while the API is replaced under load, one process after the other', async () => {
    const settings = { ...brokerAway, SHUTDOWN_DRAIN_MS: 600 };
    await inInstallation(postgres, settings, async ({ processes, settings: all, sql }) => {
      const balancer = await startBalancer();
      const client = createClient(() => balancer.url);
      const startApi = async () => {
        const api = await processes.start('api', all);
        balancer.add(api.url);
        return api;
      };
      try {
        const first = [await startApi(), await startApi()];
        const load = startLoad(client, { scenarios: ['success'], customers: 8, pauseMs: 2 });
        await load.more(60);
        for (const old of first) {
          await startApi();
          old.signal('SIGTERM');
          assert.equal(await old.exit(), 0, old.said());
          assert.equal(old.log().at(-1)?.msg, 'stopped');
          balancer.remove(old.url);
          await load.more(60);
        }
        await load.stop();
        assert.deepEqual([...client.statuses.keys()].sort(), [200, 201], 'placed or canceled, each at once');
        const [{ count } = { count: 0 }] = await sql<{ count: number }>(
          'SELECT count(*)::integer AS count FROM orders',
        );
        assert.equal(count, client.acknowledged.size);
      } finally {
        await balancer.close();
      }
    });
  });

  it('bring orders to their end without any broker, tell how they are, and stop at once', async () => {
    await inInstallation(postgres, brokerAway, async ({ client, startRole, processes, settings, databaseUrl }) => {
      const relay = startRole('relay', { WORKER_PORT: 0 });
      const [api, worker] = await Promise.all([startRole('api'), startRole('worker', { WORKER_PORT: 0 })]);
      const { orderId } = await client.place();
      // The poll of each step finds its job.
      await until(async () => (await client.read(orderId)).status === 'PROCESSED', 'the end of the order', {
        patienceMs: 60_000,
      });
      for (const { url } of [api, worker, await relay]) {
        assert.equal((await fetch(`${url}/readyz`)).status, 200);
        assert.equal((await fetch(`${url}/healthz`)).status, 200);
      }
      const samples = readSamples(await (await fetch(`${worker.url}/metrics`)).text());
      assert.equal(samples.get('orderly_jobs_total{consumer="fulfillment",end="done"}'), 1);
      assert.equal((await fetch(`${worker.url}/orders`)).status, 404, 'a worker takes no orders');

      const port = new URL(worker.url).port;
      const second = await processes.run(['worker', 'payment'], { ...settings, WORKER_PORT: port });
      assert.equal(second.code, 2);
      assert.equal(
        second.stderr,
        `Port ${port} on 127.0.0.1 is taken: set WORKER_PORT to another one, or to 0 for any that is free.\n`,
      );
      assert.ok(!second.stderr.includes(databaseUrl));

      for (const role of [api, worker, await relay]) {
        role.signal('SIGTERM');
        assert.equal(await role.exit(), 0, role.said());
        assert.equal(role.log().at(-1)?.msg, 'stopped');
      }
    });
  });

  it('run together by one command, come back when they die, and end with it', async () => {
    const settings = { ...brokerAway, SANDBOX_PORT: 0, SHUTDOWN_TIMEOUT_MS: 12_000, LOG_LEVEL: 'debug' };
    await inInstallation(postgres, settings, async ({ processes, settings: all }) => {
      const { PARTNERS_URL: _, ...alone } = all;
      const ORDERLY_DATA_DIR = `${processes.directory}/alone`;
      const orderly = await processes.start('start --processes --scale payment=2,compensation=0', {
        ...alone,
        ORDERLY_DATA_DIR,
      });
      const lines = (msg: string, name: string) =>
        orderly.log().filter((line) => line.msg === msg && line.process === name);
      const lives = (name: string) => lines('a process was started', name).map(({ pid }) => Number(pid));
      const names = ['sandbox', 'api', 'relay', 'payment.1', 'payment.2', 'fulfillment', 'notification'];
      for (const name of names) assert.equal(lives(name).length, 1, name);
      assert.deepEqual(lives('compensation'), []);
      assert.equal((await fetch(`${orderly.url}/readyz`)).status, 200);

      for (const name of ['payment.1', 'api']) {
        process.kill(lives(name)[0] ?? 0, 'SIGKILL');
        await until(() => lines('running', name).length === 2, `a second life of ${name}`, { patienceMs: 40_000 });
      }
      assert.equal((await fetch(`${orderly.url}/readyz`)).status, 200, 'under the address that it had');

      orderly.signal('SIGTERM');
      assert.equal(await orderly.exit(settings.SHUTDOWN_TIMEOUT_MS), 0, orderly.said());
      for (const name of names) {
        assert.ok(
          lives(name).every((pid) => !isAlive(pid)),
          `${name} has ended`,
        );
        if (name !== 'sandbox') assert.equal(lines('stopped', name).length, 1, `${name} stopped in order`);
      }
    });
  });

  it('work on together when the reader of their output goes away, and hear of a signal to their npm', async () => {
    await inInstallation(postgres, brokerAway, async ({ processes, settings }) => {
      const PORT = await findPort();
      const given = { ...settings, PORT, LOG_LEVEL: 'debug', SHUTDOWN_TIMEOUT_MS: 20_000 };
      const few = 'compensation=0,notification=0,search=0,analytics=0';
      const npm = spawn('npm', ['run', '-s', 'orderly', '--', 'start', '--processes', '--scale', few], {
        cwd: root,
        env: {
          ...{ PATH: process.env.PATH ?? '', HOME: process.env.HOME ?? '', ORDERLY_DATA_DIR: processes.directory },
          ...Object.fromEntries(Object.entries(given).map(([name, value]) => [name, String(value)])),
        },
        stdio: ['ignore', 'pipe', 'pipe'],
        detached: true,
      });
      const ended = once(npm, 'exit');
      try {
        npm.stdout.destroy();
        npm.stderr.destroy();
        const isReady = async () => (await fetch(`http://127.0.0.1:${PORT}/readyz`).catch(() => null))?.status === 200;
        await until(isReady, 'the API', { patienceMs: 60_000 });
        // Each answer is a line that nobody reads.
        for (let request = 0; request < 20; request += 1) assert.ok(await isReady());
        npm.kill('SIGHUP');
        await ended;
        await until(async () => !(await isReady()), 'the end of the API', { patienceMs: 30_000 });
      } finally {
        if (npm.pid !== undefined && isAlive(-npm.pid)) process.kill(-npm.pid, 'SIGKILL');
      }
    });
  });

  it('do not start where one of them cannot, which is said once', async () => {
    const databaseUrl = await postgres.createDatabase();
    await withDatabase(databaseUrl, 'DROP TABLE schema_version');
    await inInstallation(postgres, brokerAway, async ({ processes, settings }) => {
      const ended = await processes.run(['start', '--processes'], { ...settings, DATABASE_URL: databaseUrl }, 40_000);
      assert.equal(ended.code, 2);
      assert.match(
        ended.stderr,
        /^api +│ The database is at schema version 0, .*\napi could not be started\. [^\n]+\n$/,
      );
    });
  });
});

async function withDatabase(url: string, statement: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await client.query(statement).finally(() => client.end());
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
