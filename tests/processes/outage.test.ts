// What a `start` process stands on goes away under load and comes back: the partners, then the database.
//
// OUTAGE_SECONDS says for how long the partners are away: 8 unless told; `.ci/run` asks for 30.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { probeIntervalMs } from '../../src/engine/breaker.ts';
import type { Query } from '../../src/io/postgres/database.ts';
import { requestOf, startLoad } from '../support/client.ts';
import { inInstallation, slowestTest } from '../support/installation.ts';
import type { Postgres } from '../support/postgres.ts';
import { until } from '../support/until.ts';
import { startServer } from '../support/world.ts';

// How long the partners are away: some intervals of the breakers' probes, at least.
const awayMs = Number(process.env.OUTAGE_SECONDS ?? 8) * 1_000;
// The calls that were under way when a breaker opened have failed by then.
const underWayMs = 1_500;
// A breaker opens at the fifth failure in a row; one success among those under way may start the count anew.
const chargedMax = 2 * 4;

describe('a process whose surroundings go away', { timeout: slowestTest.timeout + 3 * awayMs }, () => {
  let postgres: Postgres;
  before(async () => {
    postgres = await startServer();
  });
  after(() => postgres.stop());

  it('takes orders while the partners are away, loses none, and hardly knocks meanwhile', async () => {
    // What has piled up is done in one go after the return: on a loaded machine that takes its time.
    const patient = { ORDER_WORKER_TIMEOUT_MS: 4_000, ORDER_WORKER_LEASE_MS: 8_000, ORDER_WORKER_CONCURRENCY: 32 };
    await inInstallation(postgres, patient, async ({ client, start, startSandbox, sandbox, sql, audited }) => {
      const orderly = await start();
      const load = startLoad(client, { scenarios: ['success'], customers: 3 });
      await load.more(40);
      await sandbox().kill9();
      const before = client.acknowledged.size;
      // How long it lasts is what this is about.
      await pause(awayMs);
      assert.ok(client.acknowledged.size >= before + 40, 'orders are taken all the while');
      const returned = new Date();
      await startSandbox();
      await load.stop();
      // Until a breaker opens a failure is charged: at most all three retries of each of the two core steps.
      await audited({ retriesMore: 6, patienceMs: 20_000 + 2 * awayMs });

      for (const status of [0, 503, 504]) assert.equal(client.statuses.get(status), undefined, `answered ${status}`);
      assert.deepEqual(await sql('SELECT consumer, code, message FROM dead_letters'), []);
      const opened = orderly
        .log()
        .filter(({ msg, time }) => msg.includes(' cannot be used: ') && new Date(time) < returned);
      const since = new Map(opened.map(({ dependency, time }) => [dependency, new Date(time)]));
      const payments = since.get('payments');
      assert.ok(payments, 'the payment provider had work all the while');
      await assertFewCalls(sql, 'payment', payments, returned);
      await assertFewCalls(sql, 'fulfillment', since.get('carrier') ?? returned, returned);
      await assertFewCalls(sql, 'notification', since.get('mail') ?? returned, returned);
    });
  });

  it('lets a single order wait for partners that went away a moment ago', async () => {
    await inInstallation(postgres, {}, async ({ client, start, startSandbox, sandbox, sql, audited }) => {
      await start();
      const { orderId: first } = await client.place();
      await until(async () => (await client.read(first)).status === 'PROCESSED', 'an order that the partners answer');
      await sandbox().kill9();
      const { orderId } = await client.place();
      const wait = () => sql(`SELECT FROM attempts WHERE order_id = $1 AND outcome IN ('wait', 'dead')`, [orderId]);
      await until(async () => (await wait()).length > 0, 'an attempt that is not charged');
      assert.deepEqual(await sql('SELECT consumer, code, message FROM dead_letters'), []);
      await startSandbox();
      await audited({ retriesMore: 3 });
    });
  });

  it('survives its database, says honestly what is not known, and gives a doubtful request one order', async () => {
    await inInstallation(postgres, {}, async ({ client, start, stallCommits, sql, audited }) => {
      const { url } = await start();
      // The commit that stores it is under way when the server dies: nobody can tell what became of it.
      const stall = await stallCommits();
      const doubtful = client.send('doubtful', requestOf('doubtful'));
      await stall.isMet();
      const load = startLoad(client, { scenarios: ['success', 'flaky', 'failure'] });
      await postgres.kill9();
      assert.equal((await doubtful)?.status, 504);
      await until(() => (client.statuses.get(503) ?? 0) > 5, 'requests that are told to come back');
      const ready = await fetch(`${url}/readyz`);
      const { status, checks } = (await ready.json()) as { status: string; checks: { name: string; status: string }[] };
      assert.deepEqual([ready.status, status], [503, 'failed']);
      assert.deepEqual(checks.find(({ name }) => name === 'database')?.status, 'failed');
      assert.equal((await fetch(`${url}/healthz`)).status, 200);
      await postgres.restart();
      await stall.release();
      await load.more(40);

      // Once more, with everything in full flow.
      await postgres.kill9();
      await postgres.restart();
      await load.more(40);
      await load.stop();
      const isReady = async () => {
        const answer = await fetch(`${url}/readyz`);
        // Where the database takes its time, a probe gets the answer of a moment ago: it was away.
        if (answer.status !== 200) throw new Error(await answer.text());
        return true;
      };
      await until(isReady, 'a process that is ready again');
      await client.repeat('doubtful');
      assert.equal(client.statuses.get(0), undefined, 'a request was not answered');
      await audited();
      const stored = await sql(`SELECT FROM orders WHERE customer_email LIKE 'customer-doubtful@%'`);
      assert.equal(stored.length, 1);
    });
  });
});

// One probe per interval, and nothing else; each leaves a row that says that it was not charged.
async function assertFewCalls(sql: Query, consumer: string, opened: Date, returned: Date): Promise<void> {
  const [counted] = await sql<{ charged: number; probes: number }>(
    `SELECT count(*) FILTER (WHERE outcome = 'retry' AND at <= $3)::integer AS charged,
            count(*) FILTER (WHERE outcome = 'wait' AND at BETWEEN $2 AND $3)::integer AS probes
     FROM attempts WHERE consumer = $1`,
    [consumer, new Date(opened.getTime() + underWayMs), returned],
  );
  const { charged = 0, probes = 0 } = counted ?? {};
  const intervals = Math.ceil(Math.max(0, returned.getTime() - opened.getTime() - underWayMs) / probeIntervalMs);
  assert.ok(probes <= intervals + 1, `${consumer}: ${probes} probes in ${intervals} intervals`);
  assert.ok(charged <= chargedMax, `${consumer}: ${charged} attempts were charged`);
}
