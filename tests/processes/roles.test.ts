// API, relay and workers as processes of their own on one database, with a broker that nobody can reach:
// what needs no broker must work without it.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { startBalancer } from '../support/balancer.ts';
import { createClient, startLoad } from '../support/client.ts';
import { inInstallation, slowestTest } from '../support/installation.ts';
import type { Postgres } from '../support/postgres.ts';
import type { Settings } from '../support/process.ts';
import { startServer } from '../support/world.ts';

// Nobody listens there.
const brokerAway: Settings = { BUS: 'kafka', KAFKA_BROKERS: '127.0.0.1:1' };

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
});
