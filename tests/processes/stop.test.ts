// A `start` process is told to stop, by SIGTERM as a platform does or by SIGINT as a person does: under
// load, with requests under way, with a partner that does not answer.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Query } from '../../src/io/postgres/database.ts';
import { countTakeovers } from '../support/audit.ts';
import { type Client, requestOf, startLoad } from '../support/client.ts';
import { inInstallation, slowestTest } from '../support/installation.ts';
import type { Postgres } from '../support/postgres.ts';
import { until } from '../support/until.ts';
import { startServer } from '../support/world.ts';

describe('a process told to stop', slowestTest, () => {
  let postgres: Postgres;
  before(async () => {
    postgres = await startServer();
  });
  after(() => postgres.stop());

  it('finishes what it holds under load, charges nothing, and the next start continues', async () => {
    const settings = { ORDER_WORKER_PROCESSING_DELAY_MS: 40, SHUTDOWN_TIMEOUT_MS: 8_000 };
    await inInstallation(postgres, settings, async ({ client, start, sql, audited }) => {
      const load = startLoad(client, { scenarios: ['success', 'success', 'flaky', 'failure'] });
      for (const signal of ['SIGTERM', 'SIGINT'] as const) {
        const orderly = await start();
        await load.more(40);
        orderly.signal(signal);
        assert.equal(await orderly.exit(settings.SHUTDOWN_TIMEOUT_MS), 0, orderly.said());
        assert.equal(orderly.log().at(-1)?.msg, 'stopped');
        // Nothing is stored whose sender was not answered, and nobody's work is left to a lease.
        assert.deepEqual(await findUnanswered(client, sql), []);
        assert.deepEqual(await sql('SELECT consumer FROM jobs WHERE token IS NOT NULL'), []);
      }
      await start();
      await load.stop();
      await audited();
      assert.equal(await countTakeovers(sql), 0);
    });
  });

  it('answers every request that it has taken in', async () => {
    await inInstallation(postgres, {}, async ({ client, start, stallCommits, sql, audited }) => {
      const orderly = await start();
      const stall = await stallCommits();
      const answers = Promise.all(
        Array.from({ length: 20 }, (_, n) => client.send(`busy-${n}`, requestOf(`busy-${n}`))),
      );
      await stall.isMet();
      orderly.signal('SIGTERM');
      await until(() => orderly.log().some(({ msg }) => msg.startsWith('stopping')), 'the stop to begin');
      await stall.release();
      // What came before the stop is placed; what came after it is told so, or finds nobody, and is not.
      assert.ok((await answers).some((answer) => answer?.status === 201));
      assert.equal(await orderly.exit(), 0, orderly.said());
      // Not cut off by the last resort: it ended because everything was done.
      assert.equal(orderly.log().at(-1)?.msg, 'stopped');
      assert.deepEqual(await findUnanswered(client, sql), []);
      await start();
      await audited();
    });
  });

  it('gives back work whose partner does not answer, uncharged, and ends at once when told twice', async () => {
    // Neither the call's timeout nor the lease would end this within the test.
    const settings = { SHUTDOWN_TIMEOUT_MS: 4_000, ORDER_WORKER_TIMEOUT_MS: 50_000, ORDER_WORKER_LEASE_MS: 60_000 };
    await inInstallation(postgres, settings, async ({ client, start, direct, hanging, sql, audited }) => {
      await direct({ call: 'authorize', act: 'hang-after' });
      const first = await start();
      const { orderId } = await client.place();
      await hanging(1);
      first.signal('SIGTERM');
      assert.equal(await first.exit(settings.SHUTDOWN_TIMEOUT_MS), 0, first.said());
      assert.equal(first.log().at(-1)?.msg, 'stopped');
      const jobs = await sql('SELECT token, attempt, takeovers FROM jobs WHERE order_id = $1', [orderId]);
      assert.deepEqual(jobs, [{ token: null, attempt: 0, takeovers: 0 }]);

      const second = await start({ SHUTDOWN_TIMEOUT_MS: 60_000 });
      await audited();
      const payment = await sql(`SELECT attempt FROM events WHERE order_id = $1 AND type = 'PaymentAuthorizedV1'`, [
        orderId,
      ]);
      assert.deepEqual(payment, [{ attempt: 1 }]);
      assert.equal(await countTakeovers(sql), 0);

      await direct({ call: 'authorize', act: 'hang-before' });
      await client.place();
      await hanging(1);
      second.signal('SIGTERM');
      await until(() => second.log().some(({ msg }) => msg.startsWith('stopping')), 'the stop to begin');
      // Two within a second are one: npm passes on what the terminal has sent already.
      let code: number | null | undefined;
      void second.exit().then((ended) => (code = ended));
      const toldAgain = () => {
        second.signal('SIGTERM');
        return code !== undefined;
      };
      await until(toldAgain, 'the end at once');
      assert.equal(code, 130);
    });
  });
});

async function findUnanswered(client: Client, sql: Query): Promise<string[]> {
  const keys = await sql<{ key: string }>('SELECT key FROM idempotency_keys');
  return keys.map(({ key }) => key).filter((key) => !client.acknowledged.has(key));
}
