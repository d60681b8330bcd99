// A key that another transaction holds: its commit is under way somewhere, or waits for a standby that is away.

import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import { Client } from 'pg';
import { isRefusal } from '../../src/domain/refusals.ts';
import { UnavailableError } from '../../src/engine/ports.ts';
import type { PlaceInput } from '../../src/flow/ports.ts';
import type { Postgres } from '../support/postgres.ts';
import { until } from '../support/until.ts';
import { inWorld, slowestTest, startServer } from '../support/world.ts';

let postgres: Postgres;
before(async () => {
  postgres = await startServer();
});
after(() => postgres.stop());

const inputWith = (key: string | null): PlaceInput => {
  const command = { userId: 'u', amount: 1 };
  return { command, received: command, key, correlationId: 'c', traceparent: null };
};

const answerTo = (placing: Promise<unknown>) =>
  placing.then(
    () => 'placed',
    (error) => (error instanceof UnavailableError ? error.stored : String(error)),
  );

it('a key whose commit is pending elsewhere is never answered with "nothing was stored"', slowestTest, () =>
  inWorld(postgres, {}, async ({ desk, database, newEngine }) => {
    const { promise: released, resolve: release } = Promise.withResolvers<void>();
    const { promise: held, resolve: hold } = Promise.withResolvers<void>();
    const pending = database
      .transaction(async (query) => {
        await query(
          `INSERT INTO idempotency_keys (key, fingerprint, order_id, created_at)
           VALUES ('pending', decode(repeat('00', 32), 'hex'), gen_random_uuid(), now())`,
        );
        hold();
        await released;
        throw new Error('it is rolled back');
      })
      .catch(() => {});
    await held;
    // In this process twice, and in another one.
    const { desk: elsewhere } = newEngine();
    const asked = [desk, desk, elsewhere].map((one) => answerTo(one.place(inputWith('pending'))));
    const answers = await Promise.all(asked);
    release();
    await pending;
    assert.deepEqual(answers, ['unknown', 'unknown', 'unknown']);
    const placed = await desk.place(inputWith('pending'));
    assert.ok(!isRefusal(placed) && !placed.replayed, JSON.stringify(placed));
  }),
);

it(
  'a key whose commit waits for a synchronous standby that is away is in doubt, and replayed when it is back',
  slowestTest,
  () =>
    inWorld(postgres, { start: false }, async ({ desk, sql, newEngine }) => {
      // On a connection of its own: no transaction may change a server's setting.
      const operator = new Client({ connectionString: await postgres.createDatabase() });
      await operator.connect();
      const waitFor = async (standbys: string) => {
        await operator.query(`ALTER SYSTEM SET synchronous_standby_names = '${standbys}'`);
        await operator.query('SELECT pg_reload_conf()');
        await until(async () => {
          const { rows } = await operator.query(`SHOW synchronous_standby_names`);
          return rows[0].synchronous_standby_names === standbys;
        }, 'the setting to be read');
      };
      await waitFor('one_that_is_away');
      try {
        const { desk: elsewhere } = newEngine();
        const first = answerTo(desk.place(inputWith('replicated')));
        await until(
          async () => (await sql(`SELECT FROM pg_stat_activity WHERE wait_event = 'SyncRep'`)).length > 0,
          'its commit',
        );
        const again = [desk, elsewhere].map((one) => answerTo(one.place(inputWith('replicated'))));
        assert.deepEqual(await Promise.all([first, ...again]), ['unknown', 'unknown', 'unknown']);
      } finally {
        await waitFor('');
        await operator.end();
      }
      const placed = await until(() => desk.place(inputWith('replicated')), 'an answer');
      assert.ok(!isRefusal(placed) && placed.replayed, JSON.stringify(placed));
      assert.equal((await sql('SELECT FROM orders')).length, 1);
      await newEngine().start();
    }),
);
