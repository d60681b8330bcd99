import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { OrderId } from '../../../src/domain/order.ts';
import { isRefusal } from '../../../src/domain/refusals.ts';
import { OutsideError } from '../../../src/engine/ports.ts';
import type { Partners } from '../../../src/flow/ports.ts';
import type { Postgres } from '../../support/postgres.ts';
import { until } from '../../support/until.ts';
import { inWorld, slowestTest, startServer, type World, type WorldOptions } from '../../support/world.ts';

let postgres: Postgres;
before(async () => {
  postgres = await startServer();
});
after(() => postgres.stop());

const test = (name: string, options: WorldOptions, story: (world: World) => Promise<void>) =>
  it(name, slowestTest, () => inWorld(postgres, { ...options, settings: quick }, story));
const quick = { timeoutMs: 100 };

async function reprocessed(world: World, id: OrderId) {
  const order = await world.desk.reprocess(id, 'test-reprocess');
  assert.ok(!isRefusal(order), JSON.stringify(order));
  return order;
}

async function failed(world: World, id: OrderId) {
  await world.ended(id, 'FAILED');
  await world.settled();
  return world.order(id);
}

const keysOf = (world: World, id: OrderId, call: 'authorize' | 'book') =>
  world.calls.filter((one) => one.orderId === id && one.call === call).map(({ key }) => key);
const deadLettersOf = async (world: World) =>
  (await world.openDeadLetters()).map(({ consumer }) => consumer).toSorted();

describe('a failed order that is sent back', { concurrency: 6 }, () => {
  test('is pending again, and processed with one authorization', {}, async (world) => {
    const { id } = await world.place({ paymentScenario: 'outage' });
    const before = await failed(world, id);
    const [deadLetter] = await world.openDeadLetters();
    const order = await reprocessed(world, id);
    assert.deepEqual([order.status, order.retryCount, order.reason], ['PENDING', 0, null]);
    assert.equal(order.version, before.version + 1);
    const { payment, retryCount } = await world.ended(id, 'PROCESSED');
    assert.deepEqual([payment, retryCount], ['authorized', 0]);
    await world.settled();
    assert.deepEqual(await world.openDeadLetters(), []);
    const events = ['OrderCreatedV1', 'OrderFailedV1', 'OrderReprocessedV1'];
    assert.deepEqual(await world.events(id), [...events, 'PaymentAuthorizedV1', 'FulfillmentScheduledV1']);
    const [paid] = await world.sql(`SELECT attempt FROM events WHERE type = 'PaymentAuthorizedV1'`);
    assert.deepEqual(paid, { attempt: 1 });

    for (const again of [
      await world.desk.reprocess(id, 'test-again'),
      await world.desk.reprocessDeadLetter(deadLetter?.id ?? '', 'test-again'),
    ]) {
      assert.equal(isRefusal(again) && again.refused, 'no-dead-letter');
    }
  });

  test('and fails again leaves a new dead letter', {}, async (world) => {
    const { id } = await world.place({ paymentScenario: 'fatal' });
    await failed(world, id);
    const [first] = await world.openDeadLetters();
    await reprocessed(world, id);
    await until(
      async () => (await world.openDeadLetters())[0]?.id !== first?.id && (await deadLettersOf(world))[0],
      'a dead letter',
    );
    await failed(world, id);
    const [second, ...more] = await world.openDeadLetters();
    assert.deepEqual(more, []);
    assert.deepEqual([second?.code, second?.attempts], ['provider-refused', 1]);
    assert.equal(second?.eventId, first?.eventId);
    assert.notEqual(second?.id, first?.id);
    const closed = await world.sql('SELECT closed_how FROM dead_letters WHERE id = $1', [first?.id]);
    assert.deepEqual(closed, [{ closed_how: 'reprocessed' }]);
  });

  test('by two people at once is sent back once', {}, async (world) => {
    const { id } = await world.place({ paymentScenario: 'outage' });
    await failed(world, id);
    const answers = await Promise.all([1, 2, 3, 4].map(() => world.desk.reprocess(id, 'test-reprocess')));
    assert.equal(answers.filter((answer) => !isRefusal(answer)).length, 1);
    await world.ended(id, 'PROCESSED');
    assert.equal((await world.events(id)).filter((type) => type === 'OrderReprocessedV1').length, 1);
  });

  test('is asked for under a new key only where nothing was done under the old one', {}, async (world) => {
    const { id } = await world.place({ paymentScenario: 'outage' });
    await failed(world, id);
    await reprocessed(world, id);
    await world.ended(id, 'PROCESSED');
    const key = `${id}:authorization`;
    assert.deepEqual(keysOf(world, id, 'authorize'), [...Array(4).fill(`${key}:0`), `${key}:1`]);
  });

  test('keeps its key and its authorization after the last outcomes were unknown', {}, async (world) => {
    // The provider authorizes at once, and every answer of four attempts is lost.
    world.stage.direct({ call: 'authorize', act: 'hang-after', times: 4 });
    const { id } = await world.place({ paymentScenario: 'lost-answer' });
    const { payment, reason } = await failed(world, id);
    assert.deepEqual([payment, reason?.code], ['unknown', 'timeout']);
    assert.equal(world.entries(id, 'payments')[0]?.state, 'authorized');
    await reprocessed(world, id);
    await world.ended(id, 'PROCESSED');
    assert.deepEqual([...new Set(keysOf(world, id, 'authorize'))], [`${id}:authorization:0`]);
  });

  test('keeps its key where any outcome before a certain one was unknown', {}, async (world) => {
    world.stage.direct({ call: 'authorize', act: 'hang-after' });
    world.stage.direct({ call: 'authorize', act: 'fail', times: 3 });
    const { id } = await world.place({ paymentScenario: 'lost-answer' });
    const { payment, reason } = await failed(world, id);
    assert.deepEqual([payment, reason?.code], ['unknown', 'partner-failed']);
    await reprocessed(world, id);
    await world.ended(id, 'PROCESSED');
    assert.deepEqual([...new Set(keysOf(world, id, 'authorize'))], [`${id}:authorization:0`]);
  });

  test('keeps its key while a worker may be frozen before its call', { start: false }, async (world) => {
    const { id } = await world.place();
    const frozen = await world.takeByHand('payment', id, 1);
    // All others hear a certain no, which says nothing about the call of the first.
    world.stage.direct({ call: 'authorize', act: 'fail', times: 4 });
    await world.engine.start();
    const { payment, reason } = await failed(world, id);
    assert.deepEqual([payment, reason?.code], ['unknown', 'partner-failed']);
    await reprocessed(world, id);
    await world.ended(id, 'PROCESSED');
    const answer = await frozen.perform();
    assert.equal(await frozen.settle(answer), 'gone');
    assert.deepEqual([...new Set(keysOf(world, id, 'authorize'))], [`${id}:authorization:0`]);
    assert.equal(world.entries(id, 'payments').length, 1);
  });

  test('books once where the booking had been made and its answers lost', {}, async (world) => {
    // Somebody else's booking is answered in between, so the carrier is not taken for away.
    world.stage.direct({ call: 'book', act: 'hang-after', country: 'DE', times: 4 });
    const { id } = await world.place({ country: 'DE' });
    const answered = setInterval(() => void world.place({ country: 'FR' }), 50);
    await world.ended(id, 'FAILED').finally(() => clearInterval(answered));
    const order = await failed(world, id);
    assert.deepEqual([order.payment, order.fulfillment], ['authorized', 'unknown']);
    await reprocessed(world, id);
    await world.ended(id, 'PROCESSED');
    assert.deepEqual([...new Set(keysOf(world, id, 'book'))], [`${id}:booking:0`]);
    assert.equal(keysOf(world, id, 'authorize').length, 1);
  });

  test('after its workers died with it is processed with the authorization that one of them made', {
    start: false,
  }, async (world) => {
    const { id } = await world.place();
    const workers = [];
    // One worker and ten that took over, each dead; the eleventh takeover is one too many.
    for (let count = 0; count < 11; count += 1) workers.push(await world.takeByHand('payment', id, 1));
    await world.engine.start();
    const { reason, payment } = await failed(world, id);
    assert.deepEqual([reason?.code, payment], ['worker-lost', 'unknown']);
    // The first of them was only frozen.
    const answer = await workers[0]?.perform();
    assert.equal(await workers[0]?.settle(answer), 'gone');
    await reprocessed(world, id);
    const { retryCount } = await world.ended(id, 'PROCESSED');
    assert.equal(retryCount, 0);
    assert.equal((await world.sql(`SELECT FROM attempts WHERE outcome = 'takeover' AND epoch = 1`)).length, 0);
  });

  const forgetful = (real: Partners) => ({ ...real, payments: { ...real.payments, keyWindowMs: 0 } });
  test('is looked up, never sent again, when the provider may have forgotten it', {
    partners: forgetful,
  }, async (world) => {
    world.stage.direct({ call: 'authorize', act: 'hang-after' });
    const { id } = await world.place();
    await world.ended(id, 'PROCESSED');
    assert.equal(keysOf(world, id, 'authorize').length, 1);
    assert.deepEqual(
      world.calls.filter(({ call }) => call === 'lookup').map(({ key }) => key),
      [`${id}:authorization:0`],
    );

    // Where the provider knows nothing, silence proves nothing: a person must ask.
    world.stage.direct({ call: 'authorize', act: 'hang-before' });
    const other = await world.place();
    const { payment, reason } = await failed(world, other.id);
    assert.deepEqual([payment, reason?.code], ['unknown', 'outcome-unresolved']);
    assert.equal(keysOf(world, other.id, 'authorize').length, 1);
  });

  test('is asked for under a new key where the provider keeps a failure, and has done nothing', {}, async (world) => {
    world.stage.direct({ call: 'authorize', act: 'break-before' });
    const { id } = await world.place();
    const { payment, reason } = await failed(world, id);
    assert.deepEqual([payment, reason?.code], ['none', 'key-spent']);
    await reprocessed(world, id);
    await world.ended(id, 'PROCESSED');
    const keys = [...new Set(keysOf(world, id, 'authorize'))];
    assert.deepEqual(keys, [`${id}:authorization:0`, `${id}:authorization:1`]);
  });

  test('has what the provider did before it began to repeat a failure', {}, async (world) => {
    world.stage.direct({ call: 'authorize', act: 'break-after' });
    const { id } = await world.place();
    await world.ended(id, 'PROCESSED');
    assert.deepEqual([...new Set(keysOf(world, id, 'authorize'))], [`${id}:authorization:0`]);
  });

  const silentOnFour = (real: Partners): Partners => {
    let lookups = 0;
    const lookup: typeof real.payments.lookup = async (key, signal) => {
      lookups += 1;
      if (lookups > 4) return real.payments.lookup(key, signal);
      throw new OutsideError({ class: 'retryable', code: 'not-now', message: 'status 503', dependencyDown: false });
    };
    return { ...real, payments: { ...real.payments, lookup } };
  };
  test('keeps its key while nobody says what became of a failure that is repeated', {
    partners: silentOnFour,
  }, async (world) => {
    world.stage.direct({ call: 'authorize', act: 'break-after' });
    const { id } = await world.place();
    const { payment, reason } = await failed(world, id);
    assert.deepEqual([payment, reason?.code], ['unknown', 'not-now']);
    await reprocessed(world, id);
    await world.ended(id, 'PROCESSED');
    assert.deepEqual([...new Set(keysOf(world, id, 'authorize'))], [`${id}:authorization:0`]);
  });

  test('is booked under a new key where the carrier keeps a failure, and has done nothing', {}, async (world) => {
    world.stage.direct({ call: 'book', act: 'break-before' });
    const { id } = await world.place();
    const { fulfillment, reason } = await failed(world, id);
    assert.deepEqual([fulfillment, reason?.code], ['none', 'key-spent']);
    await reprocessed(world, id);
    await world.ended(id, 'PROCESSED');
    assert.deepEqual([...new Set(keysOf(world, id, 'book'))], [`${id}:booking:0`, `${id}:booking:1`]);
  });
});

describe('dead letters', { concurrency: 6 }, () => {
  test('of one order are all sent back together', {}, async (world) => {
    // A canceled order whose parcel cannot be recalled, and whose mail was refused.
    world.stage.direct({ call: 'book', act: 'hang-after' });
    world.stage.direct({ call: 'recall', act: 'refuse' });
    world.stage.direct({ call: 'send', act: 'refuse' });
    const { id } = await world.place();
    await until(() => world.stage.state().hanging > 0, 'the booking on its way');
    await world.cancel(id);
    await world.settled();
    assert.deepEqual(await deadLettersOf(world), ['compensation', 'notification']);
    const order = await reprocessed(world, id);
    assert.equal(order.status, 'CANCELED');
    await world.settled();
    assert.deepEqual(await deadLettersOf(world), []);
    const states = world.entries(id).map(({ state }) => state);
    assert.deepEqual(states.toSorted(), ['recalled', 'sent', 'voided']);
  });

  test('of a failed order and its mail are both closed, and nobody is told what is over', {}, async (world) => {
    world.stage.direct({ call: 'send', act: 'refuse' });
    const { id } = await world.place({ paymentScenario: 'outage' });
    await failed(world, id);
    assert.deepEqual(await deadLettersOf(world), ['notification', 'payment']);
    await reprocessed(world, id);
    await world.ended(id, 'PROCESSED');
    await world.settled();
    assert.deepEqual(await deadLettersOf(world), []);
    const mails = world.entries(id, 'mail').map(({ key }) => key);
    assert.deepEqual(mails, [`${id}:mail:processed`]);
  });

  test('are sent back one by one where a person says so', {}, async (world) => {
    world.stage.direct({ call: 'send', act: 'refuse' });
    const { id } = await world.place({ paymentScenario: 'outage' });
    await failed(world, id);
    const deadLetter = (await world.openDeadLetters()).find(({ consumer }) => consumer === 'notification');
    assert.equal(deadLetter?.code, 'mail-refused');
    const order = await world.desk.reprocessDeadLetter(deadLetter?.id ?? '', 'test-dead-letter');
    assert.ok(order !== null && !isRefusal(order));
    assert.equal(order.status, 'FAILED');
    await world.settled();
    assert.deepEqual(await deadLettersOf(world), ['payment']);
    assert.deepEqual(
      world.entries(id, 'mail').map(({ key }) => key),
      [`${id}:mail:failed`],
    );
    const again = await world.desk.reprocessDeadLetter(deadLetter?.id ?? '', 'test-dead-letter');
    assert.equal(isRefusal(again) && again.refused, 'no-dead-letter');

    const payment = (await world.openDeadLetters())[0];
    const pending = await world.desk.reprocessDeadLetter(payment?.id ?? '', 'test-dead-letter');
    assert.ok(!isRefusal(pending));
    assert.equal(pending.status, 'PENDING');
    await world.ended(id, 'PROCESSED');
  });

  test('are unknown to an order that has none, and to no order at all', {}, async (world) => {
    const { id } = await world.place();
    await world.ended(id, 'PROCESSED');
    const { id: absent } = { id: id.replace(/.$/, (last) => (last === '0' ? '1' : '0')) as OrderId };
    for (const answer of [
      await world.desk.reprocess(id, 'test'),
      await world.desk.reprocess(absent, 'test'),
      await world.desk.reprocessDeadLetter(id, 'test'),
    ]) {
      assert.equal(isRefusal(answer) && answer.refused, 'no-dead-letter');
    }
  });
});
