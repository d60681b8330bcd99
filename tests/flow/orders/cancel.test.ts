import assert from 'node:assert/strict';
import { describe } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import type { OrderId } from '../../../src/domain/order.ts';
import { isRefusal } from '../../../src/domain/refusals.ts';
import { OutsideError } from '../../../src/engine/ports.ts';
import type { AuthorizeAnswer, Partners } from '../../../src/flow/ports.ts';
import { createSystem } from '../../../src/io/system.ts';
import { storiesOnServer } from '../../support/stories.ts';
import { until } from '../../support/until.ts';
import type { World, WorldOptions } from '../../support/world.ts';

const test = storiesOnServer();

// A retry that will not come while the test looks: its time passes when the test says so.
const slowRetries = {
  settings: { retryDelayMs: 600_000, retryDelayMsMax: 600_000 },
  system: { ...createSystem(), random: () => 0.9 },
};

async function canceled(world: World, id: OrderId) {
  const order = await world.cancel(id);
  assert.ok(!isRefusal(order), JSON.stringify(order));
  assert.equal(order.status, 'CANCELED');
  assert.deepEqual(order.reason, { code: 'canceled-by-request', message: 'canceled by request' });
  return order;
}

const hanging = (world: World) => until(() => world.stage.state().hanging > 0, 'a call that hangs');
const statesOf = (world: World, id: OrderId, partner: 'payments' | 'carrier') =>
  world.entries(id, partner).map(({ state }) => state);
const summaryOf = async (world: World, id: OrderId) => {
  const { status, payment, fulfillment } = await world.order(id);
  return [status, payment, fulfillment];
};

// The first four answers, which is all the tries there are, are lost after the call has acted.
function losing<Q, A>(call: (request: Q, signal: AbortSignal) => Promise<A>, from = 1): typeof call {
  let nth = 0;
  return async (request, signal) => {
    const answer = await call(request, signal);
    nth += 1;
    if (nth < from || nth > 4) return answer;
    throw new OutsideError({ class: 'unknown', code: 'timeout', message: 'no answer', dependencyDown: false });
  };
}
const lostVoids: WorldOptions = {
  start: false,
  partners: (real) => ({ ...real, payments: { ...real.payments, void: losing(real.payments.void) } }),
};
// What was done before, the no to a later call says nothing of.
const lostThenRefused: WorldOptions = {
  start: false,
  partners: (real) => {
    const voiding = losing(real.payments.void);
    let nth = 0;
    const refusing: typeof voiding = async (request, signal) => {
      nth += 1;
      if (nth === 1) return voiding(request, signal);
      if (nth > 2) return real.payments.void(request, signal);
      throw new OutsideError({ class: 'non-retryable', code: 'not-today', message: 'no', dependencyDown: false });
    };
    return { ...real, payments: { ...real.payments, void: refusing } };
  },
};
const lostBoth: WorldOptions = {
  partners: (real) => ({
    ...real,
    payments: { ...real.payments, void: losing(real.payments.void) },
    carrier: { ...real.carrier, recall: losing(real.carrier.recall, 2) },
  }),
};
const lostRecalls: WorldOptions = {
  partners: (real) => ({ ...real, carrier: { ...real.carrier, recall: losing(real.carrier.recall) } }),
};

// An order whose money is authorized while nobody has begun to book.
async function authorizedByHand(world: World) {
  const { id } = await world.place();
  const payment = await world.takeByHand('payment', id);
  assert.equal(await payment.settle(await payment.perform()), 'settled');
  return id;
}

describe('canceling before the money is held', { concurrency: 6 }, () => {
  test('an order that nobody has begun never reaches a partner', { start: false }, async (world) => {
    const { id } = await world.place();
    await canceled(world, id);
    await world.engine.start();
    await world.settled();
    assert.deepEqual(await summaryOf(world, id), ['CANCELED', 'none', 'none']);
    assert.deepEqual(world.callsOf(id), ['send']);
  });

  test('while the authorization is on its way, the key is closed before it gets there', {}, async (world) => {
    world.stage.direct({ call: 'authorize', act: 'hang-before' });
    const { id } = await world.place();
    await hanging(world);
    await canceled(world, id);
    await world.settled();
    assert.deepEqual(await summaryOf(world, id), ['CANCELED', 'none', 'none']);
    assert.deepEqual(statesOf(world, id, 'payments'), ['closed']);
    assert.deepEqual(await world.events(id), ['OrderCreatedV1', 'OrderCanceledV1']);
  });

  test('while the authorization is made and its answer on the way, it is voided', {}, async (world) => {
    world.stage.direct({ call: 'authorize', act: 'hang-after' });
    const { id } = await world.place();
    await hanging(world);
    await canceled(world, id);
    await world.settled();
    assert.deepEqual(await summaryOf(world, id), ['CANCELED', 'voided', 'none']);
    assert.deepEqual(statesOf(world, id, 'payments'), ['voided']);
    assert.deepEqual(await world.events(id), ['OrderCreatedV1', 'OrderCanceledV1', 'PaymentVoidedV1']);
  });

  test('after the answer to the authorization was lost, it is voided', slowRetries, async (world) => {
    const { id } = await world.place({ paymentScenario: 'lost-answer' });
    await world.waits('payment', id);
    await canceled(world, id);
    await until(() => statesOf(world, id, 'payments').includes('voided'), 'the void');
    await world.passTime();
    await world.settled();
    assert.deepEqual(await summaryOf(world, id), ['CANCELED', 'voided', 'none']);
    assert.deepEqual(world.callsOf(id).toSorted(), ['authorize', 'send', 'void']);
  });

  test('between two attempts that were certainly without effect, nothing is undone', slowRetries, async (world) => {
    const { id } = await world.place({ paymentScenario: 'flaky' });
    await world.waits('payment', id);
    await canceled(world, id);
    await world.passTime();
    await world.settled();
    assert.deepEqual(world.callsOf(id).toSorted(), ['authorize', 'send']);
    assert.deepEqual(world.entries(id, 'payments'), []);
  });

  test('after the worker died before its call, the key is closed', { start: false }, async (world) => {
    const { id } = await world.place();
    await world.takeByHand('payment', id, 1);
    await canceled(world, id);
    await world.engine.start();
    await world.settled();
    assert.deepEqual(await summaryOf(world, id), ['CANCELED', 'none', 'none']);
    assert.deepEqual(statesOf(world, id, 'payments'), ['closed']);
  });

  for (const leaseMs of [1, 60_000]) {
    const lease = leaseMs === 1 ? 'past its lease' : 'within its lease';
    test(`a worker that wakes ${lease} finds the key closed and settles nothing`, { start: false }, async (world) => {
      const { id } = await world.place();
      const frozen = await world.takeByHand('payment', id, leaseMs);
      await canceled(world, id);
      await world.engine.start();
      await until(() => statesOf(world, id, 'payments').includes('closed'), 'the tombstone');
      if (leaseMs === 1) await world.settled();
      const answer = (await frozen.perform()) as AuthorizeAnswer;
      assert.deepEqual(answer, { outcome: 'closed' });
      assert.equal(await frozen.settle(answer), leaseMs === 1 ? 'gone' : 'settled');
      await world.settled();
      assert.equal(await world.job('payment', id), null);
      assert.deepEqual(await summaryOf(world, id), ['CANCELED', 'none', 'none']);
      assert.deepEqual(await world.events(id), ['OrderCreatedV1', 'OrderCanceledV1']);
    });
  }

  test('an authorization that settles after the cancel is recorded, and voided', { start: false }, async (world) => {
    const { id } = await world.place();
    const late = await world.takeByHand('payment', id);
    const answer = await late.perform();
    await canceled(world, id);
    assert.equal(await late.settle(answer), 'settled');
    assert.deepEqual(await summaryOf(world, id), ['CANCELED', 'authorized', 'none']);
    await world.engine.start();
    await world.settled();
    assert.deepEqual(await summaryOf(world, id), ['CANCELED', 'voided', 'none']);
    const events = ['OrderCreatedV1', 'OrderCanceledV1', 'PaymentAuthorizedV1', 'PaymentVoidedV1'];
    assert.deepEqual(await world.events(id), events);
    assert.equal(await world.job('fulfillment', id), null);
    assert.ok(!world.callsOf(id).includes('book'));
  });

  test('an authorization whose undoing has begun cannot be recorded any more', { start: false }, async (world) => {
    const { id } = await world.place();
    const late = await world.takeByHand('payment', id);
    const answer = await late.perform();
    await canceled(world, id);
    const undo = await world.takeByHand('compensation', id);
    assert.equal(await late.settle(answer), 'settled');
    assert.deepEqual(await world.events(id), ['OrderCreatedV1', 'OrderCanceledV1']);
    assert.equal(await undo.settle(await undo.perform()), 'settled');
    await world.engine.start();
    await world.settled();
    assert.deepEqual(statesOf(world, id, 'payments'), ['voided']);
    assert.deepEqual(await world.events(id), ['OrderCreatedV1', 'OrderCanceledV1', 'PaymentVoidedV1']);
  });

  test('a decline that settles after the cancel is recorded, and told to nobody', { start: false }, async (world) => {
    const { id } = await world.place({ paymentScenario: 'failure' });
    const late = await world.takeByHand('payment', id);
    const answer = await late.perform();
    await canceled(world, id);
    assert.equal(await late.settle(answer), 'settled');
    await world.engine.start();
    await world.settled();
    assert.deepEqual(await summaryOf(world, id), ['CANCELED', 'declined', 'none']);
    assert.equal((await world.order(id)).reason?.code, 'canceled-by-request');
    const kinds = world.entries(id, 'mail').map(({ key }) => key.split(':').at(-1));
    assert.deepEqual(kinds, ['canceled']);
  });

  for (const paymentScenario of ['fatal', 'flaky'] as const) {
    const gate = Promise.withResolvers<void>();
    const gated = (real: Partners): Partners => ({
      ...real,
      payments: {
        ...real.payments,
        authorize: async (request, signal) => {
          await gate.promise;
          return real.payments.authorize(request, signal);
        },
      },
    });
    const name = `a failure (${paymentScenario}) that comes after the cancel is neither parked nor tried again`;
    test(name, { partners: gated, settings: { timeoutMs: 5_000 } }, async (world) => {
      const { id } = await world.place({ paymentScenario });
      await world.ended(id, 'PROCESSING');
      await canceled(world, id);
      gate.resolve();
      await world.settled();
      assert.equal(await world.job('payment', id), null);
      assert.deepEqual(await world.sql(`SELECT * FROM attempts WHERE outcome <> 'done'`), []);
      assert.deepEqual(await world.openDeadLetters(), []);
    });
  }
});

describe('canceling while money is held', { concurrency: 6 }, () => {
  test('before the booking has begun, the money is voided', { start: false }, async (world) => {
    const id = await authorizedByHand(world);
    assert.equal((await world.order(id)).fulfillment, 'pending');
    await canceled(world, id);
    await world.engine.start();
    await world.settled();
    assert.deepEqual(await summaryOf(world, id), ['CANCELED', 'voided', 'none']);
    assert.deepEqual(world.callsOf(id).toSorted(), ['authorize', 'send', 'void']);
  });

  test('while the booking is on its way, its key is closed and the money voided', {}, async (world) => {
    world.stage.direct({ call: 'book', act: 'hang-before' });
    const { id } = await world.place();
    await hanging(world);
    await canceled(world, id);
    await world.settled();
    assert.deepEqual(await summaryOf(world, id), ['CANCELED', 'voided', 'none']);
    assert.deepEqual(statesOf(world, id, 'carrier'), ['closed']);
    assert.deepEqual(statesOf(world, id, 'payments'), ['voided']);
  });

  test('while the booking is made and its answer on the way, it is recalled, then the money voided', {}, async (world) => {
    world.stage.direct({ call: 'book', act: 'hang-after' });
    const { id } = await world.place();
    await hanging(world);
    await canceled(world, id);
    await world.settled();
    assert.deepEqual(await summaryOf(world, id), ['CANCELED', 'voided', 'canceled']);
    assert.deepEqual(statesOf(world, id, 'carrier'), ['recalled']);
    const undone = world.callsOf(id).filter((call) => call === 'recall' || call === 'void');
    assert.deepEqual(undone, ['recall', 'void']);
    const created = ['OrderCreatedV1', 'PaymentAuthorizedV1', 'OrderCanceledV1'];
    assert.deepEqual(await world.events(id), [...created, 'FulfillmentCanceledV1', 'PaymentVoidedV1']);
  });

  test('after the answer to the booking was lost, it is recalled', slowRetries, async (world) => {
    world.stage.direct({ call: 'book', act: 'hang-after' });
    const { id } = await world.place();
    await world.waits('fulfillment', id);
    await canceled(world, id);
    await until(() => statesOf(world, id, 'payments').includes('voided'), 'the undo');
    await world.passTime();
    await world.settled();
    assert.deepEqual(await summaryOf(world, id), ['CANCELED', 'voided', 'canceled']);
    assert.equal(world.callsOf(id).filter((call) => call === 'book').length, 1);
  });

  test('after the worker died before its booking, a late booking finds the key closed', {
    start: false,
  }, async (world) => {
    const id = await authorizedByHand(world);
    const frozen = await world.takeByHand('fulfillment', id, 1);
    await canceled(world, id);
    await world.engine.start();
    await world.settled();
    assert.deepEqual(statesOf(world, id, 'carrier'), ['closed']);
    const answer = await frozen.perform();
    assert.deepEqual(answer, { outcome: 'closed' });
    assert.equal(await frozen.settle(answer), 'gone');
    assert.deepEqual(await summaryOf(world, id), ['CANCELED', 'voided', 'none']);
  });

  test('a booking that settles after the cancel is recorded, recalled, and the money voided', {
    start: false,
  }, async (world) => {
    const id = await authorizedByHand(world);
    const late = await world.takeByHand('fulfillment', id);
    const answer = await late.perform();
    await canceled(world, id);
    assert.equal(await late.settle(answer), 'settled');
    assert.deepEqual(await summaryOf(world, id), ['CANCELED', 'authorized', 'scheduled']);
    await world.engine.start();
    await world.settled();
    assert.deepEqual(await summaryOf(world, id), ['CANCELED', 'voided', 'canceled']);
    assert.deepEqual(statesOf(world, id, 'carrier'), ['recalled']);
  });

  test('an undo that fails is repeated until it is done', {}, async (world) => {
    world.stage.direct({ call: 'book', act: 'hang-after' });
    world.stage.direct({ call: 'recall', act: 'fail' });
    world.stage.direct({ call: 'void', act: 'hang-after' });
    const { id } = await world.place();
    await hanging(world);
    await canceled(world, id);
    await world.settled();
    assert.deepEqual(await summaryOf(world, id), ['CANCELED', 'voided', 'canceled']);
    const undone = world.callsOf(id).filter((call) => call === 'recall' || call === 'void');
    assert.deepEqual(undone, ['recall', 'recall', 'void', 'recall', 'void']);
  });

  test('a worker that dies in the middle of an undo leaves the rest to the next one', {
    start: false,
  }, async (world) => {
    const id = await authorizedByHand(world);
    const booking = await world.takeByHand('fulfillment', id);
    await booking.perform();
    await canceled(world, id);
    const undo = await world.takeByHand('compensation', id, 1);
    await undo.perform();
    await world.engine.start();
    await world.ended(id);
    await until(async () => (await world.job('compensation', id)) === null, 'the undo');
    assert.equal(await undo.settle({ recall: null, voiding: null }), 'gone');
    assert.equal(await booking.settle({ outcome: 'booked', bookingId: 'too late' }), 'settled');
    await world.settled();
    assert.deepEqual(await summaryOf(world, id), ['CANCELED', 'voided', 'canceled']);
    assert.equal((await world.events(id)).filter((type) => type === 'PaymentVoidedV1').length, 1);
  });

  test('a carrier that does not take the parcel back keeps the money held until a person decides', {}, async (world) => {
    world.stage.direct({ call: 'book', act: 'hang-after' });
    world.stage.direct({ call: 'recall', act: 'refuse' });
    const { id } = await world.place();
    await hanging(world);
    await canceled(world, id);
    await world.settled();
    assert.deepEqual(await summaryOf(world, id), ['CANCELED', 'authorized', 'scheduled']);
    assert.deepEqual(statesOf(world, id, 'payments'), ['authorized']);
    const [deadLetter, ...more] = await world.openDeadLetters();
    assert.deepEqual(more, []);
    assert.deepEqual(
      [deadLetter?.orderId, deadLetter?.consumer, deadLetter?.code],
      [id, 'compensation', 'recall-refused'],
    );
    assert.equal(deadLetter?.order?.status, 'CANCELED');
    assert.deepEqual(await world.sql(`SELECT booking_state AS state FROM orders WHERE id = $1`, [id]), [
      { state: 'stuck' },
    ]);

    // The carrier has relented: the same undo, from the start.
    const again = await world.desk.reprocess(id, 'test-again');
    assert.ok(again !== null && !isRefusal(again));
    assert.equal(again.status, 'CANCELED');
    await world.settled();
    assert.deepEqual(await world.openDeadLetters(), []);
    assert.deepEqual(await summaryOf(world, id), ['CANCELED', 'voided', 'canceled']);
    assert.deepEqual(statesOf(world, id, 'carrier'), ['recalled']);
    assert.deepEqual(statesOf(world, id, 'payments'), ['voided']);
  });

  test(
    'an undo whose answers are lost shows the money as unknown until a person sends it back',
    lostVoids,
    async (world) => {
      const id = await authorizedByHand(world);
      await canceled(world, id);
      await world.engine.start();
      await until(async () => (await world.openDeadLetters()).length > 0, 'the dead letter of the undo');
      assert.deepEqual(statesOf(world, id, 'payments'), ['voided']);
      assert.deepEqual(await summaryOf(world, id), ['CANCELED', 'unknown', 'none']);

      assert.ok(!isRefusal(await world.desk.reprocess(id, 'test-again')));
      await world.settled();
      assert.deepEqual(await world.openDeadLetters(), []);
      assert.deepEqual(await summaryOf(world, id), ['CANCELED', 'voided', 'none']);
    },
  );

  test(
    'a doubt of an early attempt is not forgotten because a later one fails before it asks',
    lostBoth,
    async (world) => {
      world.stage.direct({ call: 'book', act: 'hang-after' });
      const { id } = await world.place();
      await hanging(world);
      await canceled(world, id);
      await until(async () => (await world.openDeadLetters()).length > 0, 'the dead letter of the undo');
      assert.deepEqual(statesOf(world, id, 'payments'), ['voided']);
      assert.deepEqual(await summaryOf(world, id), ['CANCELED', 'unknown', 'unknown']);
    },
  );

  test('an undo that is given up before anybody was asked leaves the money as it is shown', {
    start: false,
    // Whatever comes has waited for too long.
    settings: { maxWaitMs: -1 },
    check: false,
  }, async (world) => {
    const id = await authorizedByHand(world);
    await canceled(world, id);
    await world.engine.start();
    const deadLetterOfUndo = async () =>
      (await world.openDeadLetters()).find(({ consumer }) => consumer === 'compensation');
    assert.equal((await until(deadLetterOfUndo, 'the dead letter of the undo')).code, 'waited-too-long');
    assert.deepEqual(statesOf(world, id, 'payments'), ['authorized']);
    assert.deepEqual(await summaryOf(world, id), ['CANCELED', 'authorized', 'none']);
  });

  test('a void that is refused after the recall shows the parcel as unknown and the money as held', {}, async (world) => {
    world.stage.direct({ call: 'book', act: 'hang-after' });
    world.stage.direct({ call: 'void', act: 'refuse' });
    const { id } = await world.place();
    await hanging(world);
    await canceled(world, id);
    await until(async () => (await world.openDeadLetters()).length > 0, 'the dead letter of the undo');
    assert.deepEqual([statesOf(world, id, 'carrier'), statesOf(world, id, 'payments')], [['recalled'], ['authorized']]);
    assert.deepEqual(await summaryOf(world, id), ['CANCELED', 'authorized', 'unknown']);
    assert.ok(!isRefusal(await world.desk.reprocess(id, 'test-again')));
    await world.settled();
    assert.deepEqual(await summaryOf(world, id), ['CANCELED', 'voided', 'canceled']);
  });

  test('a refused void does not make certain what became of an earlier one', lostThenRefused, async (world) => {
    const id = await authorizedByHand(world);
    await canceled(world, id);
    await world.engine.start();
    await until(async () => (await world.openDeadLetters()).length > 0, 'the dead letter of the undo');
    assert.equal((await world.openDeadLetters())[0]?.code, 'not-today');
    assert.deepEqual(statesOf(world, id, 'payments'), ['voided']);
    assert.deepEqual(await summaryOf(world, id), ['CANCELED', 'unknown', 'none']);

    assert.ok(!isRefusal(await world.desk.reprocess(id, 'test-again')));
    await world.settled();
    assert.deepEqual(await summaryOf(world, id), ['CANCELED', 'voided', 'none']);
  });

  test('a void that the provider refuses leaves no doubt of the money, also after one whose answer was lost', {
    start: false,
    partners: (real) => {
      let nth = 0;
      const unsure: typeof real.payments.void = async (request, signal) => {
        nth += 1;
        // Until the undo gives up.
        if (nth > 4) return real.payments.void(request, signal);
        throw new OutsideError({
          class: 'unknown',
          code: 'connection-lost',
          message: 'it broke',
          dependencyDown: false,
        });
      };
      return { ...real, payments: { ...real.payments, void: unsure } };
    },
  }, async (world) => {
    const id = await authorizedByHand(world);
    await canceled(world, id);
    await world.engine.start();
    await until(async () => (await world.openDeadLetters()).length > 0, 'the dead letter of the undo');
    assert.deepEqual(await summaryOf(world, id), ['CANCELED', 'unknown', 'none']);

    world.stage.direct({ call: 'void', act: 'refuse' });
    assert.ok(!isRefusal(await world.desk.reprocess(id, 'test-again')));
    const isRefused = async () => (await world.openDeadLetters())[0]?.code === 'void-refused';
    await until(isRefused, 'the dead letter of the refusal');
    assert.deepEqual(await summaryOf(world, id), ['CANCELED', 'authorized', 'none']);
    assert.deepEqual(statesOf(world, id, 'payments'), ['authorized']);

    assert.ok(!isRefusal(await world.desk.reprocess(id, 'test-again')));
    await world.settled();
    assert.deepEqual(await summaryOf(world, id), ['CANCELED', 'voided', 'none']);
  });

  test('a recall whose answers are lost leaves the money as it is shown', lostRecalls, async (world) => {
    world.stage.direct({ call: 'book', act: 'hang-after' });
    const { id } = await world.place();
    await hanging(world);
    await canceled(world, id);
    await until(async () => (await world.openDeadLetters()).length > 0, 'the dead letter of the undo');
    assert.deepEqual(await summaryOf(world, id), ['CANCELED', 'authorized', 'unknown']);
    assert.ok(!isRefusal(await world.desk.reprocess(id, 'test-again')));
    await world.settled();
    assert.deepEqual(await summaryOf(world, id), ['CANCELED', 'voided', 'canceled']);
  });

  test('a failed order whose money is held gets it back, and its dead letter is closed', {}, async (world) => {
    world.stage.direct({ call: 'book', act: 'fail', times: 4 });
    const { id } = await world.place();
    await world.ended(id, 'FAILED');
    await world.settled();
    assert.deepEqual(await summaryOf(world, id), ['FAILED', 'authorized', 'none']);
    const deadLetters = await world.openDeadLetters();
    assert.deepEqual(
      deadLetters.map(({ consumer }) => consumer),
      ['fulfillment'],
    );
    await canceled(world, id);
    assert.deepEqual(await world.openDeadLetters(), []);
    await world.settled();
    assert.deepEqual(await summaryOf(world, id), ['CANCELED', 'voided', 'none']);
    const again = await world.desk.reprocess(id, 'test-again');
    assert.equal(isRefusal(again) && again.refused, 'no-dead-letter');
  });

  test('a failed order whose payment is unknown has it looked into and voided', {}, async (world) => {
    world.stage.direct({ call: 'authorize', act: 'hang-after', times: 4 });
    const { id } = await world.place({ paymentScenario: 'lost-answer' });
    await world.ended(id, 'FAILED');
    assert.deepEqual(await summaryOf(world, id), ['FAILED', 'unknown', 'none']);
    await canceled(world, id);
    await world.settled();
    assert.deepEqual(await summaryOf(world, id), ['CANCELED', 'voided', 'none']);
    assert.deepEqual(statesOf(world, id, 'payments'), ['voided']);
  });
});

describe('a cancel', { concurrency: 6 }, () => {
  test('of a processed order is refused and changes nothing', {}, async (world) => {
    const { id } = await world.place();
    const processed = await world.ended(id, 'PROCESSED');
    const refusal = await world.cancel(id);
    assert.equal(isRefusal(refusal) && refusal.refused, 'order-already-processed');
    assert.deepEqual(await world.order(id), processed);
  });

  test('that is asked for again changes nothing', {}, async (world) => {
    world.stage.direct({ call: 'authorize', act: 'hang-after' });
    const { id } = await world.place();
    await hanging(world);
    await canceled(world, id);
    await world.settled();
    const before = await world.order(id);
    assert.deepEqual(await canceled(world, id), before);
    await world.settled();
    assert.deepEqual(await world.order(id), before);
    assert.equal((await world.events(id)).filter((type) => type === 'OrderCanceledV1').length, 1);
  });

  test('at any moment ends with nothing held, or comes too late', {}, async (world) => {
    // So many calls to partners an order makes on its way; it is canceled after each number of them.
    const calls = { success: 3, flaky: 5, 'lost-answer': 4, failure: 2, outage: 5 } as const;
    const moments = Object.entries(calls).flatMap(([scenario, count]) =>
      Array.from({ length: count + 1 }, (_, after) => ({ paymentScenario: scenario as keyof typeof calls, after })),
    );
    world.stage.direct({ call: 'book', act: 'hang-after', times: 4 });
    world.stage.direct({ call: 'book', act: 'fail', times: 4 });
    const outcomes = await Promise.all(
      [...moments, ...moments, ...moments].map(async ({ paymentScenario, after }) => {
        const { id } = await world.place({ paymentScenario });
        while (world.callsOf(id).length < after) await pause(1);
        const answer = await world.cancel(id);
        return isRefusal(answer) ? answer.refused : answer.status;
      }),
    );
    assert.deepEqual([...new Set(outcomes)].sort(), ['CANCELED', 'order-already-processed']);
  });
});

describe('an order whose partner says no', { concurrency: 6 }, () => {
  test('is canceled because its payment is declined, and everybody is told why', {}, async (world) => {
    const { id } = await world.place({ paymentScenario: 'failure' });
    await world.settled();
    assert.deepEqual(await summaryOf(world, id), ['CANCELED', 'declined', 'none']);
    const { reason } = await world.order(id);
    assert.deepEqual(reason, { code: 'payment-declined', message: 'the payment was declined: card-declined' });
    const events = await world.sql<{ id: string; type: string; causation_id: string | null; data: object }>(
      'SELECT id, type, causation_id, data FROM events WHERE order_id = $1 ORDER BY version',
      [id],
    );
    const [created, declined, ended] = events;
    assert.deepEqual(
      events.map(({ type }) => type),
      ['OrderCreatedV1', 'PaymentFailedV1', 'OrderCanceledV1'],
    );
    assert.deepEqual([declined?.causation_id, ended?.causation_id], [created?.id, declined?.id]);
    const money = { orderId: id, amount: 1_999, currency: 'USD' };
    assert.deepEqual(declined?.data, { ...money, declineCode: 'card-declined' });
    const moved = { previousStatus: 'PROCESSING', status: 'CANCELED', reason: 'payment-declined' };
    assert.deepEqual(ended?.data, { ...money, ...moved });
    assert.equal(await world.job('compensation', id), null);
  });

  test('is canceled because the carrier rejects it, and its money is voided', {}, async (world) => {
    world.stage.direct({ call: 'book', act: 'refuse' });
    const { id } = await world.place();
    await world.settled();
    assert.deepEqual(await summaryOf(world, id), ['CANCELED', 'voided', 'rejected']);
    assert.equal((await world.order(id)).reason?.code, 'fulfillment-rejected');
    const paid = ['OrderCreatedV1', 'PaymentAuthorizedV1'];
    const ended = ['FulfillmentRejectedV1', 'OrderCanceledV1', 'PaymentVoidedV1'];
    assert.deepEqual(await world.events(id), [...paid, ...ended]);
    assert.ok(!world.callsOf(id).includes('recall'), 'what was rejected is not recalled');
  });

  const expiring = ({ payments, carrier, mail }: Partners): Partners => ({
    payments: {
      ...payments,
      authorize: async (request, signal) => {
        const answer = await payments.authorize(request, signal);
        return answer.outcome === 'authorized' ? { ...answer, expiresAt: new Date(0) } : answer;
      },
    },
    carrier,
    mail,
  });
  test('is not booked on an authorization that has expired, and can be canceled', {
    partners: expiring,
  }, async (world) => {
    const { id } = await world.place();
    const { reason, payment } = await world.ended(id, 'FAILED');
    assert.deepEqual([reason?.code, payment], ['authorization-expired', 'authorized']);
    assert.ok(!world.callsOf(id).includes('book'));
    await canceled(world, id);
    await world.settled();
    assert.deepEqual(await summaryOf(world, id), ['CANCELED', 'voided', 'none']);
  });
});
