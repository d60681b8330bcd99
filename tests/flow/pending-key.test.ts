// A key that another transaction holds: its commit is under way somewhere, or waits for a standby that is away.

import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import { isRefusal } from '../../src/domain/refusals.ts';
import { UnavailableError } from '../../src/engine/ports.ts';
import type { PlaceInput } from '../../src/flow/ports.ts';
import type { Postgres } from '../support/postgres.ts';
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
    const asked = [desk, desk, elsewhere].map((one) =>
      one.place(inputWith('pending')).then(
        () => 'placed',
        (error) => (error instanceof UnavailableError ? error.stored : String(error)),
      ),
    );
    const answers = await Promise.all(asked);
    release();
    await pending;
    assert.deepEqual(answers, ['unknown', 'unknown', 'unknown']);
    const placed = await desk.place(inputWith('pending'));
    assert.ok(!isRefusal(placed) && !placed.replayed, JSON.stringify(placed));
  }),
);
