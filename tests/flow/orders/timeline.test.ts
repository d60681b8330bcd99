import assert from 'node:assert/strict';
import { describe } from 'node:test';
import type { OrderId } from '../../../src/domain/order.ts';
import { isRefusal } from '../../../src/domain/refusals.ts';
import type { TimelineEntry } from '../../../src/flow/orders/sentences.ts';
import { createCleanup } from '../../../src/io/postgres/cleanup.ts';
import { createSystem } from '../../../src/io/system.ts';
import { storiesOnServer } from '../../support/stories.ts';
import { until } from '../../support/until.ts';
import { silent, systemOfThePast, type World } from '../../support/world.ts';

const test = storiesOnServer();

async function timelineOf(world: World, id: OrderId): Promise<readonly TimelineEntry[]> {
  const entries = await world.desk.timeline(id);
  assert.ok(!isRefusal(entries));
  for (const { text } of entries) {
    assert.match(text, /^[A-Z].{10,}\.$/, 'a sentence');
    assert.doesNotMatch(text, /undefined|null|NaN|\[object/, 'a sentence without holes');
  }
  assert.deepEqual(
    entries.map(({ at }) => at.getTime()),
    entries.map(({ at }) => at.getTime()).toSorted((one, other) => one - other),
    'oldest first',
  );
  return entries;
}
const typesOf = (entries: readonly TimelineEntry[]) => entries.map(({ type }) => type);

describe('the timeline of an order', { concurrency: 4 }, () => {
  test('tells of every attempt that failed on its way', {}, async (world) => {
    const { id } = await world.place({ paymentScenario: 'flaky' });
    await world.ended(id, 'PROCESSED');
    await world.settled();
    const entries = await timelineOf(world, id);
    const way = ['OrderCreatedV1', 'retry', 'retry', 'PaymentAuthorizedV1', 'FulfillmentScheduledV1'];
    assert.deepEqual(typesOf(entries.filter(({ outcome }) => outcome !== 'done')), way);
    const [created, first, second, authorized, scheduled] = entries.filter(({ outcome }) => outcome !== 'done');
    const done = entries.filter(({ outcome }) => outcome === 'done');
    assert.deepEqual(
      done.map(({ consumer, attempt }) => `${consumer} ${attempt}`),
      ['payment 3', 'fulfillment 1', 'notification 1'],
    );
    for (const { durationMs } of [...done, first, second].filter((entry) => entry !== undefined)) {
      assert.ok(durationMs !== null && durationMs >= 0, 'how long it took');
    }
    assert.ok(first?.until && first.until >= first.at, 'when the next one follows');
    assert.deepEqual(
      [first, second].map((entry) => [entry?.consumer, entry?.attempt, entry?.code, entry?.eventId]),
      [1, 2].map((attempt) => ['payment', attempt, 'provider-unavailable', created?.eventId]),
    );
    assert.match(first?.text ?? '', /^Attempt 1 of payment failed: .*; the next one follows in \d+ ms\.$/);
    assert.deepEqual([created?.causationId, authorized?.causationId], [null, created?.eventId]);
    assert.equal(scheduled?.causationId, authorized?.eventId);
    assert.deepEqual(
      [created, authorized, scheduled].map((entry) => entry?.correlationId),
      Array(3).fill((await world.order(id)).correlationId),
    );
  });

  test('tells how it failed, who sent it back, and how it went on', {}, async (world) => {
    const { id } = await world.place({ paymentScenario: 'outage' });
    await world.ended(id, 'FAILED');
    await world.settled();
    await world.desk.reprocess(id, 'somebody');
    await world.ended(id, 'PROCESSED');
    await world.settled();
    const entries = (await timelineOf(world, id)).filter(({ outcome }) => outcome !== 'done');
    const before = ['OrderCreatedV1', 'retry', 'retry', 'retry', 'dead', 'dead-letter', 'OrderFailedV1'];
    assert.deepEqual(typesOf(entries.slice(0, 7)).toSorted(), before.toSorted());
    const act = ['OrderReprocessedV1', 'dead-letter-closed', 'reprocessed'];
    assert.deepEqual(typesOf(entries.slice(7, 10)).toSorted(), act);
    assert.deepEqual(typesOf(entries.slice(10)), ['PaymentAuthorizedV1', 'FulfillmentScheduledV1']);
    assert.equal(entries.find(({ type }) => type === 'reprocessed')?.correlationId, 'somebody');
    const deadLetter = entries.find(({ type }) => type === 'dead-letter');
    assert.deepEqual(
      [deadLetter?.consumer, deadLetter?.attempt, deadLetter?.code],
      ['payment', 4, 'provider-unavailable'],
    );
  });

  test('tells of waits, takeovers, cancels and undoing', { start: false }, async (world) => {
    const { id } = await world.place();
    await world.takeByHand('payment', id, 1);
    world.stage.direct({ payments: 'throttle', retryAfterSeconds: 0.05 });
    await world.engine.start();
    await until(async () => (await world.sql(`SELECT 1 FROM attempts WHERE outcome = 'wait'`)).length > 0, 'a wait');
    world.stage.direct({ payments: 'up' });
    world.stage.direct({ call: 'book', act: 'hang-after' });
    await until(() => world.stage.state().hanging > 0, 'the booking');
    const canceled = await world.desk.cancel(id, 'The customer changed her mind', 'somebody');
    assert.ok(!isRefusal(canceled));
    assert.equal(canceled.reason?.message, 'The customer changed her mind');
    await world.settled();
    const types = typesOf(await timelineOf(world, id));
    for (const type of ['takeover', 'wait', 'canceled', 'FulfillmentCanceledV1', 'PaymentVoidedV1']) {
      assert.ok(types.includes(type), `${type} is told`);
    }
  });

  test('ends with what is waited for now, and until when', {
    settings: { leaseMs: 60_000, timeoutMs: 30_000 },
  }, async (world) => {
    const last = async (id: OrderId) => {
      const entry = (await timelineOf(world, id)).findLast(({ consumer }) => consumer === 'payment');
      return [entry?.type, entry?.waitsFor, entry?.code, entry?.until !== null] as const;
    };
    world.stage.direct({ call: 'authorize', act: 'hang-before' });
    const running = await world.place();
    await until(() => world.stage.state().hanging === 1, 'the call');
    assert.deepEqual(await last(running.id), ['running', 'answer', null, true]);
    world.stage.direct({ payments: 'throttle', retryAfterSeconds: 600 });
    const waiting = await world.place();
    const isWaiting = async () => (await last(waiting.id))[0] === 'waiting';
    await until(isWaiting, 'the wait');
    assert.deepEqual(await last(waiting.id), ['waiting', 'partner', 'partner-throttled', true]);
    world.stage.direct({ payments: 'up' });
    await world.engine.stop(0);
    const unclaimed = await world.place();
    assert.deepEqual(await last(unclaimed.id), ['unclaimed', 'worker', null, false]);
    await world.passTime();
    await world.newEngine().start();
    for (const { id } of [running, waiting, unclaimed]) await world.ended(id, 'PROCESSED');
    await world.settled();
    assert.equal(
      (await timelineOf(world, waiting.id)).some(({ waitsFor }) => waitsFor !== null),
      false,
    );
  });

  test('names the trace of the request, and the person that a dead letter waits for', {}, async (world) => {
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    const command = { userId: 'u-1', amount: 1, paymentScenario: 'fatal' } as const;
    const answer = await world.desk.place({ command, received: command, key: null, correlationId: 'c-1', traceparent });
    assert.ok('order' in answer);
    await world.ended(answer.order.id, 'FAILED');
    const entries = await timelineOf(world, answer.order.id);
    assert.equal(entries[0]?.traceId, '0af7651916cd43dd8448eb211c80319c');
    assert.equal(entries.find(({ type }) => type === 'dead-letter')?.waitsFor, 'person');
  });

  test('tells events as they came about, also of a worker whose clock is an hour behind', {
    start: false,
  }, async (world) => {
    const { id } = await world.place();
    await world.newEngine({ system: systemOfThePast(3_600_000) }).start();
    await world.ended(id, 'PROCESSED');
    const entries = await world.desk.timeline(id);
    assert.ok(!isRefusal(entries));
    const events = entries.filter(({ type }) => type.endsWith('V1'));
    assert.deepEqual(typesOf(events), ['OrderCreatedV1', 'PaymentAuthorizedV1', 'FulfillmentScheduledV1']);
    assert.ok(
      events.every(({ at }, index) => index === 0 || at.getTime() < (events[0]?.at.getTime() ?? 0)),
      'as said',
    );
  });

  test('of an order that does not exist is refused', {}, async (world) => {
    const { id } = await world.place();
    const refusal = await world.desk.timeline(id.replace(/.$/, (last) => (last === '0' ? '1' : '0')) as OrderId);
    assert.equal(isRefusal(refusal) && refusal.refused, 'order-not-found');
  });
});

// Not checked at the end: what the invariants compare is cleaned up.
describe('what is cleaned up', { concurrency: 4 }, () => {
  const retention = { keysHours: 168, rowsDays: 30 };
  const dayMs = 24 * 3_600_000;
  const cleanedAfter = (world: World, days: number) => {
    const system = createSystem();
    const later = { ...system, now: () => new Date(system.now().getTime() + days * dayMs) };
    return createCleanup({ database: world.database, system: later, retention, log: silent }).runOnce();
  };
  const count = async (world: World, table: string) => {
    const rows = await world.sql<{ count: number }>(`SELECT count(*) AS count FROM ${table}`);
    return rows[0]?.count ?? 0;
  };
  // One of each: processed, canceled, sent back, and failed with its dead letter open; two came with a key.
  async function history(world: World): Promise<OrderId[]> {
    const placed = await Promise.all(
      (['flaky', 'failure', 'outage', 'fatal'] as const).map((paymentScenario) => world.place({ paymentScenario })),
    );
    for (const { id } of placed) await world.ended(id);
    const [, , outage] = placed;
    await world.settled();
    await world.desk.reprocess(outage?.id as OrderId, 'somebody');
    await world.ended(outage?.id as OrderId, 'PROCESSED');
    for (const key of ['one', 'two']) {
      const command = { userId: key, amount: 1 };
      const answer = await world.desk.place({
        command,
        received: command,
        key,
        correlationId: key,
        traceparent: null,
      });
      assert.ok(!isRefusal(answer));
      await world.ended(answer.order.id, 'PROCESSED');
    }
    await world.settled();
    return placed.map(({ id }) => id);
  }
  test('are old attempts, keys and closed dead letters; orders and their events stay', {
    check: false,
  }, async (world) => {
    const ids = await history(world);
    await world.engine.stop();
    const kept = ['orders', 'events', 'audit_log'];
    const before = await Promise.all(kept.map((table) => world.sql(`SELECT * FROM ${table} ORDER BY 1, 2`)));
    const untouched = { keys: 0, attempts: 0, deadLetters: 0, replayLetters: 0, replays: 0 };
    assert.deepEqual(await cleanedAfter(world, 6), untouched);
    assert.deepEqual(await cleanedAfter(world, 8), { ...untouched, keys: 2 });
    const removed = await cleanedAfter(world, 31);
    assert.ok((removed.attempts ?? 0) > 0);
    assert.equal(removed.deadLetters, 1);
    const after = await Promise.all(kept.map((table) => world.sql(`SELECT * FROM ${table} ORDER BY 1, 2`)));
    assert.deepEqual(after, before);
    assert.equal(await count(world, 'attempts'), 0);
    assert.deepEqual(
      (await world.openDeadLetters()).map(({ orderId }) => orderId),
      [ids[3]],
    );
    for (const id of ids) {
      const events = await world.events(id);
      const told = typesOf(await timelineOf(world, id)).filter((type) => events.includes(type));
      assert.deepEqual(told, events);
    }
    // The open dead letter still leads back to work.
    const engine = world.newEngine();
    await engine.start();
    const fatal = ids[3] as OrderId;
    assert.ok(!isRefusal(await world.desk.reprocess(fatal, 'somebody')));
    await world.ended(fatal, 'FAILED');
    await until(async () => (await world.openDeadLetters()).length === 1, 'its new dead letter');
    await engine.stop();
  });

  test('has no effect again when its message comes back', { check: false }, async (world) => {
    await history(world);
    await cleanedAfter(world, 31);
    const state = async () => {
      const rows = await Promise.all(['orders', 'events', 'jobs'].map((table) => count(world, table)));
      return { rows, calls: world.calls.length };
    };
    const before = await state();
    const gone = () => world.engine.claims('payment', 'gone') + world.engine.claims('fulfillment', 'gone');
    const first = gone();
    const messages = world.published.filter(({ type }) => ['OrderCreatedV1', 'PaymentAuthorizedV1'].includes(type));
    // Twice: the first may be taken for the hint of work that was claimed with its event, where that hint got lost.
    await world.bus.publish([...messages, ...messages], new AbortController().signal);
    await until(() => gone() - first >= messages.length, 'every message to find no job');
    assert.deepEqual(await state(), before);
  });
});
