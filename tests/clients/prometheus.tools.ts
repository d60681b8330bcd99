// A real Prometheus on a real installation: every alert fires by its fault and is over after it, all are silent before;
// every query of the dashboards has an answer; the commands of the runbook run as printed. `npm run test:clients --
// prometheus` runs it, and says where Prometheus is. The rules are those of deploy/, with their minutes as seconds.

import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import pg from 'pg';
import { startLoad } from '../support/client.ts';
import { type Installation, inInstallation } from '../support/installation.ts';
import type { Postgres } from '../support/postgres.ts';
import { findPort, type Running } from '../support/process.ts';
import { until } from '../support/until.ts';
import { startServer } from '../support/world.ts';
import { run } from './tools.ts';

const root = dirname(dirname(import.meta.dirname));
const read = (file: string) => readFileSync(join(root, file), 'utf8');
const patient = { patienceMs: 60_000 };
// What no fault of one installation can show here: the node exporter is another program.
const elsewhere = ['OrderlyDiskFull'];
// Nothing is asked of a bus where there is none.
const ofABus = ['orderly_bus_lag', 'orderly_messages_unreadable_total'];

// Ten minutes of waiting are ten seconds here, and what counts as old is a few seconds old.
const quickened = read('deploy/prometheus/orderly.rules.yml')
  .replaceAll(/\[(2m)\]/g, '[4s]')
  .replaceAll(/\[\d+[mhd]\]/g, '[10s]')
  .replaceAll(/for: \d+m/g, 'for: 2s')
  .replaceAll(/(seconds[^\n]*) > (60|120|300|900)$/gm, '$1 > 4');
const alerts = [...quickened.matchAll(/- alert: (\w+)/g)].map(([, name = '']) => name);

describe('Prometheus on the product', { timeout: 400_000 }, () => {
  let postgres: Postgres;
  let directory = '';
  before(async () => {
    postgres = await startServer();
    directory = await mkdtemp(join(tmpdir(), 'orderly-prometheus-'));
  });
  after(async () => {
    await postgres.stop();
    await rm(directory, { recursive: true, force: true });
  });

  it('alerts of each fault while it lasts, is silent without one, and has an answer to every panel', async () => {
    const PORT = await findPort();
    await inInstallation(postgres, { PORT, DATABASE_POOL_MAX: 3 }, async (world) => {
      const prometheus = await startPrometheus(directory, PORT);
      const { ask, firing } = prometheus;
      const seen = new Set<string>();
      const remember = async (now: Promise<ReadonlySet<string>>) => {
        for (const name of await now) seen.add(name);
        return now;
      };
      const awaitFiring = async (...names: string[]) => {
        for (const name of names) {
          await until(async () => (await remember(firing())).has(name), `the alert ${name}`, patient);
        }
      };
      const awaitSilence = () =>
        until(async () => (await firing()).size === 0 || [...(await firing())].join(), 'silence', patient);
      try {
        let orderly: Running = await world.start();
        const load = startLoad(world.client, { scenarios: ['success', 'success', 'flaky'], customers: 2, pauseMs: 50 });

        // Calm: longer than any of the rules looks back.
        await until(async () => (await ask('max_over_time(up[15s])')).length > 0, 'a scrape', patient);
        await load.more(200);
        await until(
          async () => Number((await ask('count_over_time(up[25s])'))[0]?.value[1]) >= 20,
          '20 scrapes',
          patient,
        );
        assert.deepEqual([...(await firing())], [], 'a calm run is silent');
        await assertPanelsAnswer(ask);

        // A job that nobody can do, and an order that stands still.
        const fatal = await world.client.place({ scenario: 'fatal' });
        await awaitFiring('OrderlyDeadLetters');
        await assertRunbookRuns(world, PORT);

        await world.direct({ payments: 'down' });
        await awaitFiring('OrderlyBreakerOpen', 'OrderlyJobsWait', 'OrderlyOrdersDoNotEnd');
        await world.sql("UPDATE jobs SET created_at = created_at - interval '1 hour' WHERE consumer = 'payment'");
        await awaitFiring('OrderlyOrdersStalled');
        await world.direct({ payments: 'up' });
        await awaitSilence();

        // Somebody keeps a transaction open, with a lock on what the readers need.
        const stranger = new pg.Client(world.databaseUrl);
        await stranger.connect();
        await stranger.query('BEGIN; SELECT * FROM cursors FOR UPDATE');
        await awaitFiring('OrderlyHorizonHeld', 'OrderlyReaderBehind', 'OrderlyEventsUnpublished');
        await stranger.query('ROLLBACK; BEGIN; LOCK TABLE orders IN ACCESS EXCLUSIVE MODE');
        let isHeld = true;
        const reading = Array.from({ length: 8 }, async () => {
          while (isHeld) await world.client.read(fatal.orderId).catch(() => null);
        });
        await awaitFiring('OrderlyPoolExhausted');
        isHeld = false;
        await stranger.query('ROLLBACK');
        await stranger.end();
        await Promise.all(reading);
        await load.stop();

        // The process dies with calls under way.
        await world.direct({ call: 'authorize', act: 'hang-before', times: 8 });
        await Promise.all(Array.from({ length: 8 }, () => world.client.place()));
        await world.hanging(8);
        await orderly.kill9();
        await awaitFiring('OrderlyDown');
        orderly = await world.start();
        await awaitFiring('OrderlyTakeovers');

        // The database is away.
        await postgres.stopAtOnce();
        const post = () =>
          fetch(`${orderly.url}/orders`, {
            method: 'POST',
            headers: { 'content-type': 'application/json' },
            body: '{"user_id":"u-1","amount":1}',
          }).then(({ status }) => status);
        const asking = new AbortController();
        const asked = (async () => {
          while (!asking.signal.aborted) assert.ok((await post()) >= 500 || asking.signal.aborted);
        })();
        await awaitFiring(
          'OrderlyRequestsFailFast',
          'OrderlyRequestsFail',
          'OrderlyRequestsFailSlowly',
          'OrderlyBlind',
        );
        asking.abort();
        await postgres.restart();
        await asked.catch(() => {});
        await awaitSilence();
        assert.deepEqual(
          alerts.filter((name) => !seen.has(name)),
          elsewhere,
        );
      } finally {
        await prometheus.stop();
      }
    });
  });
});

type Sample = { readonly metric: Readonly<Record<string, string>>; readonly value: readonly [number, string] };
type Ask = (query: string) => Promise<readonly Sample[]>;

async function startPrometheus(directory: string, port: number) {
  const listen = `127.0.0.1:${await findPort()}`;
  const config = {
    global: { scrape_interval: '1s', evaluation_interval: '1s' },
    rule_files: ['orderly.rules.yml'],
    scrape_configs: [{ job_name: 'orderly', static_configs: [{ targets: [`127.0.0.1:${port}`] }] }],
  };
  await writeFile(join(directory, 'prometheus.json'), JSON.stringify(config));
  await writeFile(join(directory, 'orderly.rules.yml'), quickened);
  const args = [`--config.file=${directory}/prometheus.json`, `--storage.tsdb.path=${directory}/data`];
  const child: ChildProcess = spawn(
    process.env.PROMETHEUS ?? 'prometheus',
    [...args, `--web.listen-address=${listen}`],
    {
      stdio: ['ignore', 'ignore', 'pipe'],
    },
  );
  let said = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (said += text));
  const ended = once(child, 'close');
  const ask: Ask = async (query) => {
    const answer = await fetch(`http://${listen}/api/v1/query?query=${encodeURIComponent(query)}`);
    const { status, data, error } = (await answer.json()) as {
      status: string;
      data: { result: Sample[] };
      error?: string;
    };
    assert.equal(status, 'success', `${query}: ${error}`);
    return data.result;
  };
  await until(() => ask('vector(1)').then(() => true), 'Prometheus', patient).catch((error: Error) => {
    child.kill('SIGKILL');
    error.message += `\n${said}`;
    throw error;
  });
  return {
    ask,
    firing: async () => new Set((await ask('ALERTS{alertstate="firing"}')).map(({ metric }) => metric.alertname ?? '')),
    stop: async () => {
      child.kill('SIGTERM');
      await ended;
    },
  };
}

// Under load, on the system as it runs.
async function assertPanelsAnswer(ask: Ask): Promise<void> {
  const folder = join(root, 'deploy/grafana');
  const empty: string[] = [];
  for (const file of readdirSync(folder)) {
    const { panels } = JSON.parse(readFileSync(join(folder, file), 'utf8')) as {
      panels: readonly { title: string; targets: readonly { expr: string }[] }[];
    };
    for (const { title, targets } of panels) {
      for (const { expr } of targets) {
        if (ofABus.some((name) => expr.includes(name))) continue;
        const query = expr.replaceAll('$__rate_interval', '15s').replaceAll('$consumer', 'payment');
        const samples = await ask(query);
        const isNumber = samples.some(({ value }) => !Number.isNaN(Number(value[1])));
        if (!isNumber) empty.push(`${file}, ${title}: ${expr}`);
      }
    }
  }
  assert.deepEqual(empty, []);
}

async function assertRunbookRuns({ databaseUrl, sql }: Installation, port: number): Promise<void> {
  const text = read('docs/runbook.md');
  for (const [, language, block = ''] of text.matchAll(/```(sh|sql)\n([\s\S]*?)```/g)) {
    if (language === 'sql') {
      await sql(block);
      continue;
    }
    const script = `set -euo pipefail\ncurl() { command curl --fail-with-body "$@"; }\n${block}`;
    const args = ['-c', script.replaceAll('127.0.0.1:3000', `127.0.0.1:${port}`)];
    const env = { DATABASE_URL: databaseUrl, PORT: `${port}` };
    const { code, output } = await run('bash', args, { cwd: root, env, timeoutMs: 60_000 });
    assert.equal(code, 0, `${block}\n${output}`);
  }
}
