// Partners that are away, slow, throttling or unlucky with one order, while work flows.

import assert from 'node:assert/strict';
import { describe } from 'node:test';
import type { OrderId } from '../../src/domain/order.ts';
import { isRefusal } from '../../src/domain/refusals.ts';
import { probeIntervalMs } from '../../src/engine/breaker.ts';
import { storiesOnServer } from '../support/stories.ts';
import { until } from '../support/until.ts';
import type { PartnerCall, World, WorldEngine } from '../support/world.ts';

const test = storiesOnServer();

const attempts = (world: World) =>
  world.sql<{ consumer: string; outcome: string; code: string }>(
    `SELECT consumer, outcome, code FROM attempts WHERE outcome <> 'done' ORDER BY at`,
  );
const hanging = (world: World, count: number) =>
  until(() => world.stage.state().hanging === count, `${count} calls that hang`);

// When a partner got calls of these kinds, in ms.
const callsSince = (world: World, sinceMs: number, kinds: readonly PartnerCall['call'][]) =>
  world.calls.filter(({ call, atMs }) => atMs > sinceMs && kinds.includes(call)).map(({ atMs }) => atMs);

async function opened(engine: WorldEngine, dependency: string) {
  return until(
    () => engine.breakerChanges.find((change) => change.dependency === dependency && change.state === 'open'),
    `the breaker of ${dependency} open`,
  );
}

describe('while a partner is away', { concurrency: 8 }, () => {
  test('orders are accepted and wait, it is probed once per interval, and nobody pays for it', {}, async (world) => {
    world.stage.direct({ payments: 'down' });
    const placed: OrderId[] = [];
    const place = async () => placed.push((await world.place()).id);
    for (let count = 0; count < 20; count += 1) await place();
    await opened(world.engine, 'payments');
    // What was let through before is no probe.
    const held = () => world.sql(`SELECT FROM jobs WHERE consumer = 'payment' AND token IS NOT NULL`);
    await until(async () => (await held()).length === 0, 'the end of what was under way');
    const quietMs = performance.now();
    const probes = () => callsSince(world, quietMs, ['authorize', 'void']);
    // With work flowing in.
    let looks = 0;
    await until(async () => {
      looks += 1;
      if (looks % 10 === 0) await place();
      return probes().length >= 2;
    }, 'two probes');
    const [first = 0, second = 0] = probes();
    assert.ok(second - first >= probeIntervalMs, `a probe came ${Math.round(second - first)} ms after the one before`);
    assert.deepEqual(await world.openDeadLetters(), []);

    world.stage.direct({ payments: 'up' });
    for (const id of placed) await world.ended(id, 'PROCESSED');
    const retries = await world.sql<{ most: number }>('SELECT max(retry_count) AS most FROM orders');
    assert.ok((retries[0]?.most ?? 0) < 3, 'nobody has used up its retries');
    assert.ok((await attempts(world)).every(({ outcome }) => outcome !== 'dead'));
  });

  test('a single order does not end for want of another that could tell', {}, async (world) => {
    world.stage.direct({ payments: 'down' });
    const { id } = await world.place();
    await opened(world.engine, 'payments');
    world.stage.direct({ payments: 'up' });
    const { retryCount } = await world.ended(id, 'PROCESSED');
    assert.equal(retryCount, 3);
    await world.settled();
    const outcomes = (await attempts(world)).map(({ outcome }) => outcome);
    assert.deepEqual(outcomes, ['retry', 'retry', 'retry', 'wait']);
  });

  test('money that needs no carrier is voided, and does not make it look well', {}, async (world) => {
    world.stage.direct({ carrier: 'down' });
    const placed = await Promise.all(Array.from({ length: 8 }, () => world.place()));
    await opened(world.engine, 'carrier');
    await until(async () => {
      const bookings = await world.sql(`SELECT 1 FROM orders WHERE booking_state = 'none'`);
      return bookings.length === placed.length;
    }, 'certainty that nothing is booked');
    await Promise.all(placed.map(async ({ id }) => assert.ok(!isRefusal(await world.cancel(id)))));
    for (const { id } of placed) await until(async () => (await world.order(id)).payment === 'voided', 'the void');
    assert.deepEqual(
      world.engine.breakerChanges.map(({ state }) => state),
      ['open'],
    );
    world.stage.direct({ carrier: 'up' });
    const { id } = await world.place();
    await world.ended(id, 'PROCESSED');
  });

  test('a probe that one partner ended is given back to the other', { start: false }, async (world) => {
    // Six orders to be undone at both partners, and both partners away.
    const undone: OrderId[] = [];
    for (let count = 0; count < 6; count += 1) {
      const { id } = await world.place();
      const payment = await world.takeByHand('payment', id);
      await payment.settle(await payment.perform());
      const booking = await world.takeByHand('fulfillment', id);
      await booking.perform();
      await world.cancel(id);
      await booking.settle({ outcome: 'closed' });
      undone.push(id);
    }
    world.stage.direct({ payments: 'down', carrier: 'down' });
    await world.engine.start();
    // Nobody else is left to find out that the provider is back.
    const unpaid = await Promise.all(Array.from({ length: 6 }, () => world.place()));
    const [opening] = await Promise.all([opened(world.engine, 'payments'), opened(world.engine, 'carrier')]);
    for (const { id } of unpaid) assert.ok(!isRefusal(await world.cancel(id)));
    const sinceMs = opening.atMs + probeIntervalMs / 2;
    await until(() => callsSince(world, sinceMs, ['recall']).length >= 2, 'two probes of the carrier');
    world.stage.direct({ payments: 'up', carrier: 'up' });
    for (const id of undone) await until(async () => (await world.order(id)).payment === 'voided', 'the void');
  });

  test('that throttles, its orders wait as long as it asks, uncharged', {}, async (world) => {
    world.stage.direct({ payments: 'throttle', retryAfterSeconds: 0.05 });
    const placed = await Promise.all(Array.from({ length: 5 }, () => world.place()));
    await until(async () => (await attempts(world)).length >= 15, 'fifteen throttled calls');
    world.stage.direct({ payments: 'up' });
    for (const { id } of placed) assert.equal((await world.ended(id, 'PROCESSED')).retryCount, 0);
    await world.settled();
    const ofPayment = (await attempts(world)).filter(({ consumer }) => consumer === 'payment');
    const seen = new Set(ofPayment.map(({ outcome, code }) => `${outcome} ${code}`));
    assert.deepEqual([...seen], ['wait partner-throttled']);
    for (const { id } of placed) assert.equal(await world.attempts('payment', id), 1);
    assert.deepEqual(world.engine.breakerChanges, [], 'throttling is an answer');
  });

  for (const weather of ['down', 'throttle'] as const) {
    test(`(${weather}) for longer than an order may wait, the order is parked`, {
      settings: { maxWaitMs: 700 },
    }, async (world) => {
      world.stage.direct({ payments: weather, retryAfterSeconds: 0.05 });
      const { id } = await world.place();
      const { reason } = await world.ended(id, 'FAILED');
      assert.equal(reason?.code, 'waited-too-long');
      const calls = world.callsOf(id).filter((call) => call === 'authorize').length;
      if (weather === 'down') assert.equal(calls, 4, 'no call but those that opened the breaker');
      world.stage.direct({ payments: 'up' });
      await world.desk.reprocess(id, 'test');
      await world.ended(id, 'PROCESSED');
    });
  }

  test('mail that cannot be sent holds up no order', {}, async (world) => {
    world.stage.direct({ mail: 'down' });
    const placed = await Promise.all(Array.from({ length: 8 }, () => world.place()));
    for (const { id } of placed) await world.ended(id, 'PROCESSED');
    await opened(world.engine, 'mail');
    assert.deepEqual(
      world.ledger.counts().filter(({ partner }) => partner === 'mail'),
      [],
    );
    world.stage.direct({ mail: 'up' });
    await world.settled();
    assert.equal(world.ledger.counts().find(({ partner }) => partner === 'mail')?.entries, 8);
  });
});

describe('an unlucky order', { concurrency: 8 }, () => {
  test('ends FAILED after all its attempts when every attempt is made to fail', {
    settings: { failureProbability: 1 },
  }, async (world) => {
    const placed = await Promise.all(Array.from({ length: 10 }, () => world.place()));
    for (const { id } of placed) {
      const { retryCount, reason, payment } = await world.ended(id, 'FAILED');
      assert.deepEqual([retryCount, reason?.code, payment], [3, 'simulated-failure', 'none']);
      assert.equal(await world.attempts('payment', id), 4);
    }
    await world.settled();
    assert.deepEqual(new Set(world.calls.map(({ call }) => call)), new Set(['send']));
    const deadLetters = await world.openDeadLetters();
    assert.equal(deadLetters.length, 10);
    assert.ok(deadLetters.every(({ attempts, failureClass }) => attempts === 4 && failureClass === 'retryable'));
    assert.deepEqual(world.engine.breakerChanges, [], 'a made-up failure says nothing of a partner');
  });

  test('that poisons every call does not stop the others', { start: false }, async (world) => {
    const poisonous = await Promise.all(Array.from({ length: 4 }, () => world.place()));
    for (const { id } of poisonous) world.stage.direct({ call: 'authorize', act: 'fail', orderId: id, times: 100 });
    const others = await Promise.all(Array.from({ length: 20 }, () => world.place()));
    await world.engine.start();
    for (const { id } of others) assert.equal((await world.ended(id, 'PROCESSED')).retryCount, 0);
    for (const { id } of poisonous) assert.equal((await world.ended(id, 'FAILED')).reason?.code, 'partner-failed');
    assert.deepEqual(world.engine.breakerChanges, []);
  });
});

describe('a slow partner', () => {
  // Of more slots a part is kept for hints, and may stay free.
  const patient = { timeoutMs: 30_000, leaseMs: 60_000, concurrency: 1 };
  test('holds up neither accepting, nor canceling, nor mail', {
    settings: patient,
  }, async (world) => {
    world.stage.direct({ call: 'authorize', act: 'hang-before', times: 1 });
    const stuck = await world.place();
    await hanging(world, 1);
    // Every slot of payment is taken from here on.
    const placed = await Promise.all(Array.from({ length: 20 }, () => world.place()));
    const [first, ...rest] = placed;
    assert.ok(first && !isRefusal(await world.cancel(first.id)));
    await until(() => world.entries(first.id, 'mail').length === 1, 'the mail about the cancel');
    assert.equal(world.stage.state().hanging, 1);
    for (const { id } of rest) assert.equal((await world.order(id)).status, 'PENDING');

    await world.engine.stop(0);
    const next = world.newEngine();
    await next.start();
    for (const { id } of [stuck, ...rest]) assert.equal((await world.ended(id, 'PROCESSED')).retryCount, 0);
  });
});
