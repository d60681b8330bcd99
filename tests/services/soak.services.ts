// A soak test: thousands of orders over Kafka while everything that can die does: each worker again and again,
// the broker cleanly and at once, PostgreSQL, all at moments that the progress of the work gives.
//
// SOAK_ORDERS says how many: 20 000 unless told. The topics are read afterwards by a stranger.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { consumerNames, coreConsumers } from '../../src/flow/subscriptions.ts';
import { type Scenario, startLoad } from '../support/client.ts';
import { inInstallation } from '../support/installation.ts';
import type { Postgres } from '../support/postgres.ts';
import type { RoleCommand, Running, Settings } from '../support/process.ts';
import * as services from '../support/services.ts';
import { startServer } from '../support/world.ts';
import { type BusServer, openBusServer } from './bus-server.ts';
import { readTopics } from './topic-reader.ts';

const orders = Number(process.env.SOAK_ORDERS ?? 20_000);
const workersOfAll: readonly RoleCommand[] = [
  'worker payment',
  'worker payment',
  'worker payment',
  'worker fulfillment',
  'worker fulfillment',
  'worker fulfillment',
];
const others = consumerNames.filter((name) => !coreConsumers.includes(name));
// Each of them is killed so often.
const rounds = 5;
const scenarios: readonly Scenario[] = ['success', 'success', 'success', 'failure', 'success', 'lost-answer', 'flaky'];
// The orders come for as long as the test lasts, and not faster than six workers under attack end them: an API alone
// would take three times as many meanwhile.
const betweenMs = 120;
// A dozen processes and their servers share two cores here: a call that is well may take its time, and no
// more calls are under way than the one sandbox answers within it.
const patient: Settings = {
  ORDER_WORKER_CONCURRENCY: 16,
  ORDER_WORKER_LEASE_MS: 8_000,
  ORDER_WORKER_TIMEOUT_MS: 5_000,
  DATABASE_POOL_MAX: 4,
  WORKER_PORT: 0,
};

describe('a soak test', { timeout: 900_000 }, () => {
  let postgres: Postgres;
  let bus: BusServer;
  before(async () => {
    postgres = await startServer();
    bus = await openBusServer('kafka');
  });
  after(async () => {
    await bus?.close();
    await postgres?.stop();
  });

  it('ends every order once, and leaves the events of each in their order on every topic', async () => {
    await inInstallation(postgres, { ...bus.settings, ...patient }, async (installation) => {
      const { client, startRole, audited, processes, settings, sandbox, sql } = installation;
      const start = (role: RoleCommand) => startRole(role);
      await start('api');
      await Promise.all((['relay', `worker ${others.join(' ')}`] as const).map(start));
      const workers: Running[] = await Promise.all(workersOfAll.map(start));

      const load = startLoad(client, { scenarios, customers: 12, pauseMs: betweenMs, ordersMax: orders });
      const kills = rounds * workers.length;
      for (let kill = 0; kill < kills; kill += 1) {
        await load.more(Math.floor(orders / (kills + 1)));
        const index = kill % workers.length;
        await workers[index]?.kill9();
        workers[index] = await start(workersOfAll[index] as RoleCommand);
        if (kill === Math.floor(kills / 4)) await services.restart('kafka');
        if (kill === Math.floor(kills / 2)) await postgres.kill9().then(postgres.restart);
        if (kill === Math.floor((3 * kills) / 4)) await services.kill('kafka').then(() => services.start('kafka'));
      }
      await load.more(orders);
      await load.stop();
      assert.equal(client.acknowledged.size, orders);
      // A call that was under way when the database died may have been charged.
      await audited({ retriesMore: 6, patienceMs: 300_000 });
      const { code, stdout, stderr } = await processes.run(['verify', '--ledger', sandbox().url], settings, 120_000);
      assert.equal(code, 0, stdout + stderr);

      const events = await readTopics(`${bus.settings.KAFKA_BROKERS}`, 'orderly-strangers');
      const [written] = await sql<{ count: number }>('SELECT count(*)::integer FROM events');
      assert.equal(new Set(events.map(({ id }) => id)).size, written?.count, 'each event is on its topic');
      const last = new Map<string, string>();
      const known = new Set<string>();
      for (const { topic, key, id, subject, sequence } of events) {
        assert.equal(key, subject);
        if (known.has(id)) continue;
        known.add(id);
        const place = `${topic} ${subject}`;
        assert.ok(sequence > (last.get(place) ?? ''), `${place}: ${sequence} first came after ${last.get(place)}`);
        last.set(place, sequence);
      }
    });
  });
});
