// Operators on real processes: two that share a database and a load, paused and resumed from a shell while they work;
// and what the shell says of dead letters, of a wrong token, and of what it cannot do.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { startLoad } from '../support/client.ts';
import { inInstallation, slowestTest } from '../support/installation.ts';
import type { Postgres } from '../support/postgres.ts';
import { until } from '../support/until.ts';
import { startServer } from '../support/world.ts';

const token = 'ann-0123456789abcdef';

describe('operators', slowestTest, () => {
  let postgres: Postgres;
  before(async () => {
    postgres = await startServer();
  });
  after(() => postgres.stop());

  it('pause a consumer under load: nothing of it starts, and after the resume nothing is lost or was charged', async () => {
    await inInstallation(postgres, { OPERATOR_TOKEN: `ann=${token}` }, async (installation) => {
      const { client, start, processes, sql, audited } = installation;
      const first = await start();
      const second = await start();
      const load = startLoad(client, { scenarios: ['success'], customers: 3 });
      await load.more(30);
      const shell = async (...args: string[]) => {
        const { code, stdout, stderr } = await processes.run(args, {
          ORDERLY_URL: first.url,
          OPERATOR_TOKEN: `ann=${token}`,
        });
        assert.deepEqual([code, stderr], [0, '']);
        return stdout;
      };
      const paused = await shell('pause', 'consumer', 'fulfillment', '--reason', 'a test', '--json');
      assert.equal(JSON.parse(paused).by, 'ann');
      const holds = 'a pause holds in this process from here on';
      await until(
        () => [first, second].every((one) => one.log().some(({ msg }) => msg === holds)),
        'the pause everywhere',
      );
      // What was under way ends.
      const held = () => sql(`SELECT FROM jobs WHERE consumer = 'fulfillment' AND token IS NOT NULL`);
      await until(async () => (await held()).length === 0, 'the end of what was under way');
      const booked = async () => (await sql(`SELECT FROM events WHERE type = 'FulfillmentScheduledV1'`)).length;
      const before = await booked();
      await load.more(40);
      assert.equal(await booked(), before);
      assert.ok((await sql(`SELECT FROM jobs WHERE consumer = 'fulfillment'`)).length > 0);
      assert.deepEqual(
        await sql(`SELECT FROM jobs WHERE consumer = 'fulfillment' AND (attempt > 0 OR token IS NOT NULL)`),
        [],
      );
      await shell('resume', 'consumer', 'fulfillment');
      await load.stop();
      await audited();
      assert.deepEqual(await sql('SELECT consumer, code FROM dead_letters'), []);
    });
  });

  it('find dead letters by their cause from a shell, try a replay dry, send them back, and see it work', async () => {
    await inInstallation(postgres, { OPERATOR_TOKEN: `ann=${token}` }, async ({ client, start, processes, sql }) => {
      const { url } = await start();
      const run = (given: string, ...args: string[]) =>
        processes.run(args, { ORDERLY_URL: url, OPERATOR_TOKEN: given });
      const shell = async (...args: string[]) => (await run(token, ...args)).stdout;
      for (let count = 0; count < 3; count += 1) await client.place({ scenario: 'outage' });
      const open = () => sql(`SELECT FROM dead_letters WHERE closed_at IS NULL AND consumer = 'payment'`);
      await until(async () => (await open()).length === 3, 'three dead letters');
      assert.match(
        await shell('dlq', 'groups'),
        /^ +3 {2}consumer=payment code=\S+ partner=payments {2}.+\n3 in all\n$/,
      );
      assert.match(
        await shell('dlq', 'replay', '--consumer', 'payment'),
        /\n3 of 3 orders would be sent back; --yes does it\n$/,
      );
      assert.equal((await open()).length, 3);
      const [{ items }] = [JSON.parse(await shell('dlq', 'list', '--json'))];
      const [{ id }] = items;
      assert.match(await shell('dlq', 'show', id), /The consumer payment gave up/);
      const told = await shell(
        'dlq',
        'replay',
        '--consumer',
        'payment',
        '--yes',
        '--reason',
        'it is back',
        '--rate',
        '50',
      );
      assert.match(told, /done {2}50\/s {2}sent 3 of 3, done 3, failed again 0, under way 0, skipped 0\n$/);
      await until(
        async () => (await sql(`SELECT FROM orders WHERE status = 'PROCESSED'`)).length === 3,
        'three orders',
      );

      const wrong = await run('a-wrong-token-000', 'dlq', 'list');
      assert.equal(wrong.code, 2);
      assert.match(wrong.stderr, /answers 401: This is no operator token of this service\.\n$/);
      for (const [args, said] of [
        [['dlq', 'shoe'], /"shoe" is none of list, groups, show, replay, discard\. See `dlq --help`\./],
        [['dlq', 'replay', '--yes'], /replay takes a reason/],
        [['pause', 'consumer'], /pause takes what is meant/],
        [['pause', 'partner', 'payment', '--reason', 'x'], /answers 404: There is no partner called payment\./],
        [['dlq', 'list', '--consumer', 'paymnt'], /\(consumer: must be one of/],
      ] as const) {
        const { code, stderr } = await run(token, ...args);
        assert.deepEqual([code, said.test(stderr)], [2, true], stderr);
      }
      assert.match(await shell('pause', '--help'), /^Dead letters and pauses from a shell/);
    });
  });
});
