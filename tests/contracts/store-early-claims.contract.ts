// What every database promises about jobs that are claimed with the event that they are about.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ClaimEarly, Work } from '../../src/engine/ports.ts';
import type { JobConsumer } from '../../src/flow/subscriptions.ts';
import { answersOf, authorized, type Store } from '../support/store.ts';

export function earlyClaimsContract(open: () => Store): void {
  // Each of these consumers claims what it reads, and says the same when it is asked again.
  const claimingFor = ({ stepOf, system }: Store, ...consumers: JobConsumer[]): ClaimEarly => {
    const claims = consumers.map((consumer) => ({ step: stepOf(consumer), token: system.newToken() }));
    return ({ type }) => claims.filter(({ step }) => step.types.includes(type));
  };
  const begunOf = ({ works }: Store, subject: string): Work => {
    const work = works.find(({ event }) => event.subject === subject);
    assert.ok(work, 'nothing was claimed early');
    return work;
  };
  // Of a claim by key the database says how old the job is; it is as good as new here.
  const asNew = (work: Work): Work => ({ ...work, ageMs: 0, waitedMs: 0 });

  describe('an early claim', () => {
    it('writes order, intent and job as a claim right after the order would, and is found by its token', async () => {
      const store = open();
      const { accept, requestOf, claimOf, claimOnce, jobInWords, order, effect, keyOf } = store;
      const request = { ...requestOf(), claim: claimingFor(store, 'payment') };
      assert.deepEqual(answersOf(await accept([request])), ['placed']);
      keyOf(request);
      const work = begunOf(store, request.order.id);
      const { status, payment } = await order(request.order.id);
      assert.deepEqual([status, payment], ['PROCESSING', 'pending']);
      const intent = { state: 'intent', token: work.token };
      assert.deepEqual(await effect(request.order.id, 'authorization'), intent);
      assert.equal(await jobInWords('payment', request.eventId), 'claimed 1/0');
      const again = await claimOnce(claimOf('payment', request.eventId, { token: work.token }));
      assert.ok(again.answer === 'run');
      assert.deepEqual(asNew(again.work), work);
    });

    it('keeps others away until its lease is over, and then counts as a takeover', async () => {
      const store = open();
      const { accept, requestOf, claimOf, claimOnce, makeDue, jobInWords, keyOf } = store;
      const request = { ...requestOf(), claim: claimingFor(store, 'payment') };
      await accept([request]);
      keyOf(request);
      assert.equal((await claimOnce(claimOf('payment', request.eventId))).answer, 'busy');
      await makeDue('payment', request.eventId);
      assert.equal((await claimOnce(claimOf('payment', request.eventId))).answer, 'run');
      assert.equal(await jobInWords('payment', request.eventId), 'claimed 1/1');
    });

    it('of a settle is for the order as the settle leaves it', async () => {
      const store = open();
      const { placed, claimed, doneWith, settleOnce, claimOf, claimOnce, order, effect, eventOf } = store;
      const { order: asked, eventId } = await placed();
      const payment = await claimed('payment', eventId);
      const early = claimingFor(store, 'fulfillment', 'notification');
      assert.equal(await settleOnce({ ...doneWith(payment, authorized), claim: early }), 'settled');
      const work = begunOf(store, asked.id);
      const next = await eventOf(asked.id, 'PaymentAuthorizedV1');
      assert.deepEqual([work.consumer, work.event.id, work.attempt], ['fulfillment', next, 1]);
      const { payment: money, fulfillment, version } = await order(asked.id);
      assert.deepEqual([money, fulfillment, version], ['authorized', 'pending', 2]);
      assert.equal((await effect(asked.id, 'authorization'))?.state, 'done');
      assert.deepEqual(await effect(asked.id, 'booking'), { state: 'intent', token: work.token });
      const again = await claimOnce(claimOf('fulfillment', next, { token: work.token }));
      assert.ok(again.answer === 'run');
      assert.deepEqual(asNew(again.work), work);
    });

    it('is not made of what its step does not admit: the job waits for a claim that says why', async () => {
      const store = open();
      const { accept, requestOf, jobInWords, order, stepOf, system, works, keyOf } = store;
      const step = { ...stepOf('payment'), admits: () => false };
      const request = { ...requestOf(), claim: () => [{ step, token: system.newToken() }] };
      await accept([request]);
      keyOf(request);
      assert.equal(await jobInWords('payment', request.eventId), 'waits 0/0');
      assert.equal((await order(request.order.id)).status, 'PENDING');
      assert.ok(!works.some(({ event }) => event.subject === request.order.id));
    });

    it('of a request whose key was used before claims nothing', async () => {
      const store = open();
      const { accept, requestOf, rowsOf, works } = store;
      await accept([requestOf({ key: 'claimed once' })]);
      const repeated = { ...requestOf({ key: 'claimed once' }), claim: claimingFor(store, 'payment') };
      assert.deepEqual(answersOf(await accept([repeated])), ['replayed']);
      assert.equal((await rowsOf(repeated.order.id)).jobs, 0);
      assert.ok(!works.some(({ event }) => event.subject === repeated.order.id));
    });

    it('is told once, by the try that wrote it', async () => {
      const store = open();
      const { accept, requestOf, works } = store;
      const request = { ...requestOf(), claim: claimingFor(store, 'payment') };
      await accept([request]);
      assert.deepEqual(answersOf(await accept([request])), ['placed']);
      assert.equal(works.filter(({ event }) => event.subject === request.order.id).length, 1);
    });
  });
}
