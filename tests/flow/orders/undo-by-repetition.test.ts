// Canceling where no partner knows an undo by our key: what it has to do is found out by the call itself, and undone.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { OrderId } from '../../../src/domain/order.ts';
import { isRefusal } from '../../../src/domain/refusals.ts';
import type { Partners } from '../../../src/flow/ports.ts';
import type { Postgres } from '../../support/postgres.ts';
import { until } from '../../support/until.ts';
import { inWorld, startServer, type World, type WorldOptions } from '../../support/world.ts';

let postgres: Postgres;
before(async () => {
  postgres = await startServer();
});
after(() => postgres.stop());

const hanging = (world: World) => until(() => world.stage.state().hanging > 0, 'a call on its way');
const statesOf = (world: World, id: OrderId) =>
  world.entries(id).flatMap(({ partner, state }) => (partner === 'mail' ? [] : [state]));
async function canceled(world: World, id: OrderId) {
  assert.ok(!isRefusal(await world.cancel(id)));
  await world.settled();
  const { status, payment, fulfillment } = await world.order(id);
  assert.equal(status, 'CANCELED');
  return { payment, fulfillment, ledger: statesOf(world, id) };
}

describe('a cancel at partners that undo by their own id alone', { timeout: 120_000 }, () => {
  const test = (name: string, more: WorldOptions, story: (world: World) => Promise<void>) =>
    it(name, () => inWorld(postgres, { hasTombstones: false, ...more }, story));

  for (const act of ['hang-before', 'hang-after'] as const) {
    test(`that meets an authorization on its way (${act}) leaves nothing held, and one authorization that was`, {}, async (world) => {
      world.stage.direct({ call: 'authorize', act });
      const { id } = await world.place();
      await hanging(world);
      const { payment, ledger } = await canceled(world, id);
      assert.deepEqual([payment, ledger], ['voided', ['voided']]);
    });

    test(`that meets a booking on its way (${act}) leaves nothing booked and nothing held`, {}, async (world) => {
      world.stage.direct({ call: 'book', act });
      const { id } = await world.place();
      await hanging(world);
      assert.deepEqual(await canceled(world, id), {
        payment: 'voided',
        fulfillment: 'canceled',
        ledger: ['voided', 'recalled'],
      });
    });
  }

  test('that is asked by a worker which wakes up late finds its call without effect', {
    start: false,
  }, async (world) => {
    const { id } = await world.place();
    const late = await world.takeByHand('payment', id);
    assert.ok(!isRefusal(await world.cancel(id)));
    await world.engine.start();
    await until(() => statesOf(world, id).includes('voided'), 'the undo');
    const answer = await late.perform();
    assert.equal((answer as { outcome: string }).outcome, 'authorized');
    await late.settle(answer);
    await world.settled();
    assert.deepEqual(statesOf(world, id), ['voided']);
    assert.equal((await world.order(id)).payment, 'voided');
  });

  test('of a payment that the provider declines meanwhile has nothing to undo', {}, async (world) => {
    world.stage.direct({ call: 'authorize', act: 'hang-before' });
    world.stage.direct({ call: 'authorize', act: 'refuse' });
    const { id } = await world.place();
    await hanging(world);
    const { payment, ledger } = await canceled(world, id);
    assert.deepEqual([payment, ledger], ['none', ['declined']]);
  });

  test('of a key that the provider may have forgotten looks it up, and leaves to a person what is not found', {
    partners: (real: Partners) => ({ ...real, payments: { ...real.payments, keyWindowMs: 0 } }),
    check: false,
  }, async (world) => {
    world.stage.direct({ call: 'authorize', act: 'hang-after' });
    const found = await world.place();
    await hanging(world);
    assert.deepEqual((await canceled(world, found.id)).ledger, ['voided']);

    world.stage.direct({ call: 'authorize', act: 'hang-before' });
    const lost = await world.place();
    await hanging(world);
    assert.ok(!isRefusal(await world.cancel(lost.id)));
    const deadLetter = await until(async () => (await world.openDeadLetters())[0], 'the dead letter of the undo');
    assert.deepEqual(
      [deadLetter.consumer, deadLetter.code, deadLetter.orderId],
      ['compensation', 'outcome-unresolved', lost.id],
    );
    assert.deepEqual(statesOf(world, lost.id), []);
  });
});
