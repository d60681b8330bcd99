// The whole `start` process is killed (kill -9) on a real PostgreSQL server, the partners being a process
// of their own that lives on: what the customers were told, the database and the partners' ledger must
// agree in the end.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { countTakeovers } from '../support/audit.ts';
import { requestOf, startLoad } from '../support/client.ts';
import { inInstallation, slowestTest } from '../support/installation.ts';
import type { Postgres } from '../support/postgres.ts';
import { until } from '../support/until.ts';
import { startServer } from '../support/world.ts';

const kills = 5;

describe('a process killed on a real PostgreSQL server', slowestTest, () => {
  let postgres: Postgres;
  before(async () => {
    postgres = await startServer();
  });
  after(() => postgres.stop());

  it('loses no acknowledged order and repeats no effect, killed again and again under load', async () => {
    // The delay keeps some orders in the middle of a step whenever the kill comes.
    await inInstallation(
      postgres,
      { ORDER_WORKER_PROCESSING_DELAY_MS: 40 },
      async ({ client, start, sql, audited }) => {
        let orderly = await start();
        const load = startLoad(client, {
          scenarios: ['success', 'flaky', 'success', 'failure', 'success', 'lost-answer', 'success', 'timeout'],
        });
        for (let kill = 1; kill <= kills; kill += 1) {
          await load.more(8 * kill);
          await orderly.kill9();
          orderly = await start();
        }
        await load.stop();
        await audited();
        assert.ok((await countTakeovers(sql)) > 0, 'no kill met an order in the middle of a step');

        // Long after: whoever asks again gets the bytes of the first answer.
        await Promise.all([...client.sent.keys()].map(client.repeat));
        await audited();
      },
    );
  });

  it('gives the first answer to whom a crash took it between commit and answer', async () => {
    await inInstallation(postgres, {}, async ({ client, start, sql, stallCommits, audited }) => {
      const orderly = await start();
      await Promise.all(Array.from({ length: 5 }, () => client.place()));

      // The commit waits, the process is frozen meanwhile: so the commit comes after the last moment in which
      // the process could have answered.
      const keys = Array.from({ length: 30 }, (_, index) => `unanswered-${index}`);
      const stall = await stallCommits();
      const unanswered = Promise.all(keys.map((key) => client.send(key, requestOf(key))));
      await stall.isMet();
      orderly.signal('SIGSTOP');
      await stall.release();
      const stored = () => sql<{ key: string }>(`SELECT key FROM idempotency_keys WHERE key LIKE 'unanswered-%'`);
      await until(async () => (await stored()).length > 0, 'the commit that waited');
      await orderly.kill9();
      assert.deepEqual(
        await unanswered,
        keys.map(() => null),
        'nobody was answered',
      );
      const { length: storedKeys } = await stored();

      await start();
      const repeated = await Promise.all(keys.map((key) => client.send(key, requestOf(key))));
      assert.deepEqual(
        repeated.map((answer) => answer?.status),
        keys.map(() => 201),
      );
      const replayed = repeated.filter((answer) => answer?.headers.get('idempotent-replayed') === 'true');
      assert.equal(replayed.length, storedKeys, 'what was stored is a repetition, the rest is new');
      await audited();
      await Promise.all([...client.sent.keys()].map(client.repeat));
      await audited();
    });
  });

  it('charges no attempt to an order whose worker is killed five times', async () => {
    const settings = { ORDER_WORKER_TIMEOUT_MS: 900, ORDER_WORKER_LEASE_MS: 2_000 };
    await inInstallation(postgres, settings, async ({ client, start, sql, direct, hanging, audited }) => {
      await direct({ call: 'authorize', act: 'hang-before', times: 5 });
      let orderly = await start();
      const { orderId } = await client.place();
      for (let kill = 1; kill <= 5; kill += 1) {
        await hanging(1);
        await orderly.kill9();
        await hanging(0);
        orderly = await start();
      }
      await audited();
      const { status, retryCount } = await client.read(orderId);
      assert.deepEqual({ status, retryCount }, { status: 'PROCESSED', retryCount: 0 });
      const [payment] = await sql(
        `SELECT attempt, (SELECT count(*)::integer FROM attempts WHERE outcome = 'takeover') AS takeovers
         FROM events WHERE order_id = $1 AND type = 'PaymentAuthorizedV1'`,
        [orderId],
      );
      assert.deepEqual(payment, { attempt: 1, takeovers: 5 });
    });
  });
});
