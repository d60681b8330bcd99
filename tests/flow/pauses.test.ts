// What people hold back, in two processes over one database, and what operators see of it.

import assert from 'node:assert/strict';
import { describe } from 'node:test';
import { isRefusal } from '../../src/domain/refusals.ts';
import type { Pause } from '../../src/flow/operators/pauses.ts';
import { storiesOnServer } from '../support/stories.ts';
import { until } from '../support/until.ts';
import type { World, WorldEngine } from '../support/world.ts';

const test = storiesOnServer();
const ann = { by: 'ann', correlationId: 'c-ann' };

const pause = async (engine: WorldEngine, kind: Pause['kind'], name: string, ends: Date | null = null) => {
  const paused = await engine.operators.pause({ kind, name, reason: 'a person says so', until: ends }, ann);
  assert.ok(!isRefusal(paused));
};
const reaches = (engine: WorldEngine, count: number) =>
  until(() => engine.pauses().length === count, `${count} pauses in the other process`);
const callsOf = (world: World, call: string) => world.calls.filter((one) => one.call === call).length;

describe('what a person holds back', { concurrency: 8 }, () => {
  test('is taken by no process, and goes on uncharged when it is resumed', {}, async (world) => {
    const other = world.newEngine();
    await other.start();
    await pause(world.engine, 'consumer', 'fulfillment');
    await reaches(other, 1);
    const orders = await Promise.all(
      Array.from({ length: 6 }, (_, n) => world.place({}, n % 2 ? other.desk : world.desk)),
    );
    for (const { id } of orders) {
      await until(async () => (await world.order(id)).payment === 'authorized', 'the payment');
    }
    // What is due is looked for all the while, and not taken.
    const { items } = { items: await other.operators.jobs({ limit: 10, consumer: 'fulfillment' }) };
    assert.deepEqual(
      new Set(items.map(({ waitsFor, state, attempt }) => `${state} ${waitsFor} ${attempt}`)),
      new Set(['due pause 0']),
    );
    assert.equal(items.length, 6);
    const { jobs, pauses } = await other.operators.overview();
    assert.deepEqual(jobs.find(({ consumer }) => consumer === 'fulfillment')?.due, { count: 6, isAtLeast: false });
    assert.deepEqual(
      pauses.map(({ kind, name, by }) => ({ kind, name, by })),
      [{ kind: 'consumer', name: 'fulfillment', by: 'ann' }],
    );
    assert.equal(callsOf(world, 'book'), 0);
    assert.deepEqual(await other.operators.resume({ kind: 'consumer', name: 'fulfillment' }, ann), []);
    for (const { id } of orders) assert.equal((await world.ended(id, 'PROCESSED')).retryCount, 0);
    const acts = await world.engine.operators.audit({ limit: 10, after: null, by: 'ann' });
    assert.deepEqual(
      acts.items.map(({ action }) => action),
      ['resumed', 'paused'],
    );
  });

  test('may be a partner: its consumers wait, the others work', {}, async (world) => {
    await pause(world.engine, 'partner', 'mail');
    const { id } = await world.place();
    await world.ended(id, 'PROCESSED');
    assert.equal(callsOf(world, 'send'), 0);
    const { processes } = await world.engine.operators.overview();
    assert.deepEqual(
      processes.map(({ role, isAlive }) => ({ role, isAlive })),
      [{ role: 'start', isAlive: true }],
    );
    await world.engine.operators.resume({ kind: 'partner', name: 'mail' }, ann);
    await world.settled();
    assert.equal(callsOf(world, 'send'), 1);
  });

  test('may be one order, which others overtake', {}, async (world) => {
    const other = world.newEngine();
    await other.start();
    await pause(world.engine, 'consumer', 'payment');
    await reaches(other, 1);
    const held = await world.place();
    const free = await world.place();
    await pause(other, 'order', held.id);
    await reaches(world.engine, 2);
    await world.engine.operators.resume({ kind: 'consumer', name: 'payment' }, ann);
    await world.ended(free.id, 'PROCESSED');
    // A message that comes again is no way around it: what comes behind it on the bus is through.
    await world.bus.publish(
      world.published.filter(({ key }) => key === held.id),
      new AbortController().signal,
    );
    await world.ended((await world.place()).id, 'PROCESSED');
    assert.deepEqual(world.callsOf(held.id), []);
    assert.equal((await world.job('payment', held.id))?.attempt, 0);
    const timeline = await world.desk.timeline(held.id);
    assert.ok(
      !isRefusal(timeline) && timeline.some(({ text }) => text === 'A person paused the order: a person says so.'),
    );
    await world.engine.operators.resume({ kind: 'order', name: held.id }, ann);
    await world.ended(held.id, 'PROCESSED');
  });

  test('goes on by itself when its time is over', {}, async (world) => {
    const ends = new Date(Date.now() + 700);
    await pause(world.engine, 'consumer', 'payment', ends);
    const { id } = await world.place();
    await world.ended(id, 'PROCESSED');
    const authorized = await world.sql<{ at: Date }>(
      `SELECT time AS at FROM events WHERE type = 'PaymentAuthorizedV1'`,
    );
    assert.ok((authorized[0]?.at ?? 0) >= ends);
    assert.deepEqual(await world.engine.operators.pauses(), []);
  });

  test('is refused where it would be over already, and nothing is held back', {}, async (world) => {
    const asked = { kind: 'consumer', name: 'payment', reason: 'too late', until: new Date(Date.now() - 1) } as const;
    const refused = await world.engine.operators.pause(asked, ann);
    assert.ok(isRefusal(refused) && refused.refused === 'pause-over');
    assert.deepEqual(await world.engine.operators.pauses(), []);
    await world.ended((await world.place()).id, 'PROCESSED');
  });

  test('stays held back over a restart', {}, async (world) => {
    await pause(world.engine, 'consumer', 'payment');
    await world.engine.stop();
    const next = world.newEngine();
    await next.start();
    assert.equal(next.pauses().length, 1);
    const { id } = await world.place({}, next.desk);
    await next.operators.resume({ kind: 'consumer', name: 'payment' }, ann);
    await world.ended(id, 'PROCESSED');
  });
});
