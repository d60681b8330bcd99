// A `start` process that is frozen (SIGSTOP) past its lease while its calls hang at the partners, and
// wakes up (SIGCONT) while another process works on the same orders.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { inInstallation, slowestTest } from '../support/installation.ts';
import { unread } from '../support/invariants.ts';
import type { Postgres } from '../support/postgres.ts';
import type { Running } from '../support/process.ts';
import { until } from '../support/until.ts';
import { startServer } from '../support/world.ts';

describe('a process frozen past its lease', slowestTest, () => {
  let postgres: Postgres;
  before(async () => {
    postgres = await startServer();
  });
  after(() => postgres.stop());

  it('has its stale settles refused when it wakes, while another one works on its orders', async () => {
    await inInstallation(postgres, {}, async (installation) => {
      const { client, start, sql, direct, hanging, audited } = installation;
      const orders = 4;
      // The first call of each order hangs without effect; the repetition by the other process hangs after
      // it has acted, so that its outcome is not known while the frozen one wakes.
      await direct({ call: 'authorize', act: 'hang-before', times: orders });
      await direct({ call: 'authorize', act: 'hang-after', times: orders });
      const frozen = await start();
      const placed = await Promise.all(Array.from({ length: orders }, () => client.place()));
      await hanging(orders);
      // A transaction that freezes would hold its locks until the server ends it. Without a bus nobody waits for the relay.
      await until(
        async () => (await sql(`${unread} AND c.reader <> 'relay'`)).length === 0,
        'the end of what else was to be done',
      );
      frozen.signal('SIGSTOP');

      const other = await start();
      // Its calls hang beside those of the frozen one: it has taken over.
      await hanging(2 * orders);
      frozen.signal('SIGCONT');
      await until(async () => (await countStale(frozen)) === orders, `${orders} refused settles`);
      const refused = frozen.log().filter(({ msg }) => msg.startsWith('a stale settle was refused'));
      assert.equal(refused.length, orders);

      await audited();
      assert.equal(await countStale(other), 0);
      for (const { orderId } of placed) {
        const rows = await sql(
          `SELECT e.attempt, (count(*) FILTER (WHERE a.outcome = 'takeover'))::integer AS takeovers,
                  (count(*) FILTER (WHERE a.outcome = 'retry'))::integer AS retries
           FROM events e JOIN attempts a ON a.order_id = e.order_id AND a.consumer = 'payment'
           WHERE e.order_id = $1 AND e.type = 'PaymentAuthorizedV1' GROUP BY e.attempt`,
          [orderId],
        );
        // One silence is charged: that of the call which ran into its timeout with its worker awake.
        assert.deepEqual(rows, [{ takeovers: 1, attempt: 2, retries: 1 }]);
      }
    });
  });
});

async function countStale({ url }: Running): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text();
  const samples = [...text.matchAll(/^orderly_jobs_total\{consumer="payment",end="stale"\} (\d+)$/gm)];
  return samples.reduce((sum, [, count]) => sum + Number(count), 0);
}
