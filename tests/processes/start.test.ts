// The command as its users meet it: what keeps it from starting, what it says then, and what a process that
// runs tells its operators.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import pg from 'pg';
import { createClient } from '../support/client.ts';
import { quickSettings, slowestTest } from '../support/installation.ts';
import { type Postgres, startPostgres } from '../support/postgres.ts';
import {
  createProcesses,
  customersDomain,
  type Ended,
  findPort,
  type Processes,
  type Running,
  type Settings,
} from '../support/process.ts';
import { readSamples } from '../support/prometheus.ts';
import { until } from '../support/until.ts';

// Nothing is asked of the partners where these are used.
const settings = { ...quickSettings, PARTNERS_URL: 'http://127.0.0.1:1', PORT: 0 };

describe('the command', slowestTest, () => {
  let postgres: Postgres;
  let processes: Processes;
  before(async () => {
    postgres = await startPostgres({ settings: { fsync: 'off' } });
    processes = createProcesses();
  });
  after(async () => {
    await postgres.stop();
    await processes.close();
  });

  // A database of its own for whoever asks, brought to the schema by the role that does so.
  async function migrated(): Promise<string> {
    const database = await postgres.createDatabase();
    processes.keepSecret(new URL(database).password);
    assert.equal((await processes.run(['migrate'], { DATABASE_URL: database })).code, 0);
    return database;
  }

  // One sentence on one line, nothing else, and 2 for whoever called it.
  function assertRefused({ code, stdout, stderr }: Ended, sentence: RegExp): void {
    assert.deepEqual({ code, stdout }, { code: 2, stdout: '' }, stderr);
    assert.match(stderr, /^[^\n]+\.\n$/);
    assert.match(stderr, sentence);
  }

  it('explains itself and ends with 0', async () => {
    for (const args of [[], ['help'], ['--help']]) {
      const { code, stdout, stderr } = await processes.run(args);
      assert.deepEqual({ code, stderr }, { code: 0, stderr: '' });
      for (const word of ['start', 'migrate', 'sandbox', 'DATABASE_URL', 'ORDER_WORKER_LEASE_MS']) {
        assert.ok(stdout.includes(word), `the help does not mention ${word}`);
      }
    }
  });

  it('says which release it is, and that an order cannot be shown where no API answers', async () => {
    const version = await processes.run(['--version']);
    assert.deepEqual({ code: version.code, stderr: version.stderr }, { code: 0, stderr: '' });
    assert.match(version.stdout, /^Orderly \d+\.\d+\.\d+ on Node v\d+\.\d+\.\d+\n$/);
    const PORT = await findPort();
    assertRefused(
      await processes.run(['show', 'an-order'], { PORT }),
      new RegExp(`^No API answers at http://127\\.0\\.0\\.1:${PORT}: `),
    );
  });

  it('refuses a role that it does not have', async () => {
    assertRefused(await processes.run(['satrt']), /"satrt" is no role.*start/);
    assertRefused(await processes.run(['start', 'payment']), /"start payment" is no role/);
    assertRefused(await processes.run(['worker', 'paymnt']), /"paymnt" is no consumer.*did you mean payment\?/);
  });

  it('names every mistake in the settings at once, and starts nothing', async () => {
    const directory = join(processes.directory, 'never-made');
    const { code, stdout, stderr } = await processes.run(['start'], {
      ORDERLY_DATA_DIR: directory,
      PORT: 'http',
      ORDER_WORKER_MAX_RETRYS: 3,
      ORDER_WORKER_LEASE_MS: 1_500,
      ORDER_WORKER_TIMEOUT_MS: 1_000,
      DATABASE_URL: 'postgres://orderly:open sesame@127.0.0.1/orderly%',
    });
    assert.deepEqual({ code, stdout }, { code: 2, stdout: '' });
    const lines = stderr.trimEnd().split('\n');
    const names = ['ORDER_WORKER_MAX_RETRYS', 'PORT', 'DATABASE_URL', 'ORDER_WORKER_TIMEOUT_MS'];
    assert.deepEqual(
      lines.map((line) => /^\w+/.exec(line)?.[0]),
      names,
      stderr,
    );
    assert.match(stderr, /did you mean ORDER_WORKER_MAX_RETRIES\?/);
    assert.doesNotMatch(stderr, /open|sesame/);
    assert.equal(existsSync(directory), false);
  });

  it('says what a role needs that works beside other processes', async () => {
    const roles = [['api'], ['relay'], ['worker'], ['start', '--processes']];
    const lacking = await Promise.all(roles.map((args) => processes.run(args)));
    for (const { code, stdout, stderr } of lacking) {
      assert.deepEqual({ code, stdout }, { code: 2, stdout: '' });
      assert.match(stderr, /^DATABASE_URL: must be set for .*\nBUS="memory": must be kafka \| redis \| sqs for .*\n$/);
    }
    const apart = { BUS: 'kafka', DATABASE_URL: 'postgres://127.0.0.1:1/orderly' };
    const alone = await processes.run(['worker', 'payment', 'fulfillment'], apart);
    assertRefused(alone, /^PARTNERS_URL must be set for a worker of payment, fulfillment: .*orderly -- sandbox/);
  });

  it('says that a port is taken', async () => {
    const port = await findPort();
    const other = createServer().listen(port, '127.0.0.1');
    await once(other, 'listening');
    const taken = new RegExp(`Port ${port} on 127.0.0.1 is taken: set (SANDBOX_)?PORT to another one`);
    const directory = join(processes.directory, 'sandbox');
    try {
      const start = { ...settings, PORT: port, DATABASE_URL: await migrated() };
      assertRefused(await processes.run(['start'], start), taken);
      assertRefused(await processes.run(['sandbox'], { SANDBOX_PORT: port, ORDERLY_DATA_DIR: directory }), taken);
    } finally {
      other.close();
    }
  });

  it('refuses a second process on a data directory, while the first one goes on', async () => {
    const orderly = await startAlone('shared', { DATABASE_URL: await migrated() });
    const ORDERLY_DATA_DIR = join(processes.directory, 'shared');
    const inUse = /^The data directory \S+ is in use by another Orderly \(process \d+\): /;
    for (const role of ['start', 'migrate']) {
      assertRefused(await processes.run([role], { ...quickSettings, ORDERLY_DATA_DIR, PORT: 0 }), inUse);
    }
    const client = createClient(() => orderly.url);
    const { orderId } = await client.place();
    await until(async () => (await client.read(orderId)).status === 'PROCESSED', 'an order of the first one');
    await orderly.kill9();
  });

  it('says that the partners are in use by a sandbox on the same directory', async () => {
    const ORDERLY_DATA_DIR = join(processes.directory, 'in-use');
    const sandbox = await processes.start('sandbox', { ORDERLY_DATA_DIR, SANDBOX_PORT: 0 });
    const ended = await processes.run(['start'], { ...quickSettings, ORDERLY_DATA_DIR, PORT: 0 });
    assertRefused(ended, /^The ledger of the simulated partners in \S+ is in use by another process/);
    assert.equal(existsSync(join(ORDERLY_DATA_DIR, 'postgres')), false, 'nothing was started');
    await sandbox.kill9();
  });

  it('says that the database cannot be used, and never its password', async () => {
    const password = 'open-sesame';
    processes.keepSecret(password);
    const url = new URL(await postgres.createDatabase());
    const away = `postgres://orderly:${password}@127.0.0.1:${await findPort()}/orderly`;
    url.password = password;
    const wrong = url.href;
    url.password = '';
    const cases: [url: string, why: RegExp][] = [
      [away, /nothing listens there/],
      [wrong, /does not accept this user with this password/],
      [url.href, /asks for a password, and the URL has none/],
    ];
    const worker = { BUS: 'kafka', ORDER_WORKER_MAX_RETRIES: 1 };
    for (const role of ['start', 'migrate', 'verify', 'reindex', 'api', 'relay', 'worker']) {
      const sentences = await Promise.all(
        cases.map(async ([DATABASE_URL, why]) => {
          const ended = await processes.run([role], { ...settings, ...worker, DATABASE_URL });
          assertRefused(ended, why);
          assert.ok(!ended.stderr.includes(password));
          assert.match(ended.stderr, /^The database orderly\w* at 127\.0\.0\.1:\d+ cannot be used \(DATABASE_URL\): /);
          return ended.stderr;
        }),
      );
      assert.equal(new Set(sentences).size, cases.length);
    }
  });

  it('refuses to work on another database because the name of the right one did not come', async () => {
    for (const role of ['start', 'migrate', 'verify']) {
      const { code, stdout, stderr } = await processes.run([role], { ...settings, DATABASE_URL: '' });
      assert.deepEqual({ code, stdout }, { code: 2, stdout: '' });
      assert.match(stderr, /^DATABASE_URL="": is set, but to nothing/);
    }
  });

  it('says on which database it works', async () => {
    const DATABASE_URL = await migrated();
    const name = /database orderly_\d+ at 127\.0\.0\.1:\d+/;
    const orderly = await startAlone('named', { DATABASE_URL });
    assert.match(orderly.said(), new RegExp(`running at http:\\S+ on the ${name.source}"`));
    const ready = (await (await fetch(`${orderly.url}/readyz`)).json()) as { checks: { detail: string }[] };
    assert.match(ready.checks[0]?.detail ?? '', new RegExp(`^reachable: the ${name.source}$`));
    const [table, json] = await Promise.all([
      processes.run(['verify'], { ...settings, DATABASE_URL }),
      processes.run(['verify', '--json'], { ...settings, DATABASE_URL }),
    ]);
    assert.match(table.stdout, new RegExp(`^Checked the ${name.source}\\.\n`));
    assert.match((JSON.parse(json.stdout) as { database: string }).database, name);
    await orderly.kill9();
  });

  it('asks for a migration where there is none, and migrates as often as one likes', async () => {
    const database = await postgres.createDatabase();
    assertRefused(
      await processes.run(['start'], { ...settings, DATABASE_URL: database }),
      /schema version 0.* -- migrate/,
    );
    const first = await processes.run(['migrate'], { DATABASE_URL: database });
    assert.deepEqual({ ...first, stdout: '' }, { code: 0, stdout: '', stderr: '' });
    assert.match(first.stdout, /^The schema of the database orderly\w* at 127\.0\.0\.1:\d+ is at version \d+\.\n$/);
    assert.deepEqual(await processes.run(['migrate'], { DATABASE_URL: database }), first);
    const orderly = await processes.start('start', { ...settings, DATABASE_URL: database });
    assert.equal((await fetch(`${orderly.url}/readyz`)).status, 200);
    await orderly.kill9();
  });

  it('tells its operators in the format of Prometheus what came in and what became of it', async () => {
    const orderly = await startAlone('metrics', { DATABASE_URL: await migrated() });
    const client = createClient(() => orderly.url);
    const scenarios = ['success', 'success', 'fatal', 'failure'] as const;
    await Promise.all(scenarios.map((scenario) => client.place({ scenario })));
    const scrape = async () => {
      const response = await fetch(`${orderly.url}/metrics`);
      assert.match(response.headers.get('content-type') ?? '', /^text\/plain; version=0\.0\.4/);
      return readSamples(await response.text());
    };
    const notified = 'orderly_jobs_total{consumer="notification",end="done"}';
    await until(async () => (await scrape()).get(notified) === 4, 'four customers who were told');
    const parked = 'orderly_dead_letters_open{consumer="payment"}';
    await until(async () => (await scrape()).get(parked) === 1, 'what the database is asked for now and then', {
      patienceMs: 40_000,
    });
    const samples = await scrape();
    const expected = {
      'orderly_jobs_total{consumer="payment",end="done"}': 3,
      'orderly_jobs_total{consumer="payment",end="dead"}': 1,
      'orderly_jobs_total{consumer="fulfillment",end="done"}': 2,
      // Within one process nothing is published.
      orderly_events_published_total: 0,
      'orderly_dead_letters_open{consumer="fulfillment"}': 0,
      orderly_orders_accepted_total: 4,
      'orderly_order_duration_seconds_count{outcome="PROCESSED"}': 2,
      'orderly_order_duration_seconds_count{outcome="CANCELED"}': 1,
      'orderly_order_duration_seconds_count{outcome="FAILED"}': 1,
      // 4 created, 2 paid, 2 scheduled, 1 declined and canceled, 1 failed.
      'orderly_events_total{type="OrderCreatedV1"}': 4,
      'orderly_events_total{type="PaymentFailedV1"}': 1,
      'orderly_http_requests_total{method="POST",route="/orders",status="201"}': 4,
      'orderly_http_requests_total{method="POST",route="/orders",status="503"}': 0,
      'orderly_http_request_duration_seconds_count{method="POST",route="/orders"}': 4,
      'orderly_partner_call_duration_seconds_count{partner="payments",outcome="non-retryable"}': 1,
      'orderly_jobs_stalled{consumer="payment"}': 0,
    };
    for (const [name, value] of Object.entries(expected)) assert.equal(samples.get(name), value, name);
    for (const name of ['process_resident_memory_bytes', 'nodejs_eventloop_lag_seconds'])
      assert.ok(samples.has(name), name);
    assert.ok(![...samples.values()].some(Number.isNaN), 'no number is NaN');
    const headers = { accept: 'application/openmetrics-text;version=1.0.0' };
    const open = await fetch(`${orderly.url}/metrics`, { headers });
    assert.match(open.headers.get('content-type') ?? '', /^application\/openmetrics-text; version=1\.0\.0/);
    assert.match(await open.text(), /\n# EOF\n$/);
    await orderly.kill9();
  });

  it('keeps customers and passwords out of its log, whatever goes wrong', async () => {
    const database = await migrated();
    const orderly = await startAlone('discreet', { LOG_LEVEL: 'trace', DATABASE_URL: database });
    const client = createClient(() => orderly.url);
    // A write that the database refuses for what is in the row: its error quotes the whole row.
    await withDatabase(database, 'ALTER TABLE orders ADD CONSTRAINT odd CHECK (amount <> 1313)');
    const address = `somebody@${customersDomain}`;
    const post = async (body: string) => {
      const headers = { 'content-type': 'application/json' };
      return (await fetch(`${orderly.url}/orders`, { method: 'POST', headers, body })).status;
    };
    assert.equal(await post(JSON.stringify({ customerEmail: address, amount: 1_313 })), 500);
    assert.equal(await post(JSON.stringify({ customerEmail: address, amount: -1 })), 400);
    assert.equal(await post(`{"customerEmail":"${address}"`), 400);
    assert.equal((await fetch(`${orderly.url}/orders/${encodeURIComponent(address)}`)).status, 400);
    await Promise.all((['success', 'failure', 'fatal'] as const).map((scenario) => client.place({ scenario })));
    const deadLetters = async () => (await (await fetch(`${orderly.url}/dlq`)).text()).includes('provider-refused');
    await until(deadLetters, 'an order that failed');
    await orderly.kill9();
    assert.ok(
      orderly.log().some(({ msg }) => msg === 'request failed unexpectedly'),
      'the error is in the log',
    );
    assert.ok(
      orderly.log().some(({ msg }) => msg === 'answered'),
      'the log has every request',
    );
    const lines = orderly
      .said()
      .split('\n')
      .filter((line) => line.includes(customersDomain));
    assert.deepEqual(lines, []);
  });

  // Without a sandbox: the partners are in the process, with their ledger.
  async function startAlone(name: string, more: Settings): Promise<Running> {
    const { PARTNERS_URL: _, ...alone } = settings;
    const ORDERLY_DATA_DIR = join(processes.directory, name);
    return processes.start('start', { ...alone, ORDERLY_DATA_DIR, ...more });
  }
});

async function withDatabase(url: string, statement: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await client.query(statement).finally(() => client.end());
}
