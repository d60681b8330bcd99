// What every database promises about accepting orders.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isRefusal } from '../../src/domain/refusals.ts';
import { createGroupCommit } from '../../src/engine/group-commit.ts';
import type { PlaceAnswer, PlaceRequest } from '../../src/flow/ports.ts';
import { createAccept } from '../../src/io/postgres/accept.ts';
import { failureOf, NotConnectedError } from '../../src/io/postgres/errors.ts';
import { answersOf, type Store } from '../support/store.ts';

export function acceptContract(open: () => Store): void {
  describe('accepting orders', () => {
    it('makes of fifty equal requests at once one order and 49 replays of it', async () => {
      const { accept, requestOf, rowsOf, system } = open();
      const group = createGroupCommit<PlaceRequest, PlaceAnswer>({
        flush: accept,
        failureOf,
        system,
        maxRows: 8,
        capacity: 1_000,
        patienceMs: 10_000,
      });
      const requests = Array.from({ length: 50 }, () => requestOf({ key: 'fifty' }));
      const answers = await Promise.all(requests.map(group.add));
      const words = answersOf(answers);
      assert.equal(words.filter((word) => word === 'placed').length, 1);
      assert.equal(words.filter((word) => word === 'replayed').length, 49);
      const ids = new Set(answers.map((answer) => ('order' in answer ? answer.order.id : null)));
      assert.equal(ids.size, 1);
      for (const request of requests) {
        const rows = await rowsOf(request.order.id);
        assert.deepEqual([rows.orders, rows.events, rows.jobs], ids.has(request.order.id) ? [1, 1, 1] : [0, 0, 0]);
      }
    });

    it('makes of equal requests in one flush one order too', async () => {
      const { accept, requestOf } = open();
      const answers = await accept([1, 2, 3].map(() => requestOf({ key: 'three in a flush' })));
      assert.deepEqual(answersOf(answers).sort(), ['placed', 'replayed', 'replayed']);
    });

    it('answers a repeated request with the order as it stands, for its first answer to be made of', async () => {
      const { accept, requestOf, desk } = open();
      const request = requestOf({ key: 'canceled since' });
      await accept([request]);
      await desk.cancel(request.order.id, null, 'c-2');
      const [answer] = await accept([requestOf({ key: 'canceled since' })]);
      assert.ok(answer !== undefined && answer !== 'locked' && answer.answer === 'replayed');
      assert.deepEqual([answer.order.id, answer.order.status], [request.order.id, 'CANCELED']);
    });

    it('refuses the key for another payload and places nothing for it', async () => {
      const { accept, requestOf, rowsOf } = open();
      await accept([requestOf({ key: 'reused', payload: 'one' })]);
      const other = requestOf({ key: 'reused', payload: 'another' });
      const fresh = requestOf({ key: 'not reused', payload: 'another' });
      assert.deepEqual(answersOf(await accept([other, fresh])), ['key-reused', 'placed']);
      assert.equal((await rowsOf(other.order.id)).orders, 0);
    });

    it('makes every request without a key an order of its own', async () => {
      const { accept, requestOf, rowsOf } = open();
      const requests = [requestOf(), requestOf()];
      assert.deepEqual(answersOf(await accept(requests)), ['placed', 'placed']);
      for (const { order } of requests) assert.equal((await rowsOf(order.id)).orders, 1);
    });

    it('answers the same flush again the same, and writes nothing twice', async () => {
      const { accept, requestOf, rowsOf } = open();
      const requests = [requestOf({ key: 'answer lost' }), requestOf(), requestOf({ key: 'answer lost' })];
      const first = answersOf(await accept(requests));
      assert.deepEqual(first, ['placed', 'placed', 'replayed']);
      const before = await Promise.all(requests.map(({ order }) => rowsOf(order.id)));
      assert.deepEqual(answersOf(await accept(requests)), first);
      assert.deepEqual(await Promise.all(requests.map(({ order }) => rowsOf(order.id))), before);
      const none = { effects: 0, attempts: 0, deadLetters: 0 };
      assert.deepEqual(before[0], { orders: 1, keys: 1, events: 1, jobs: 1, ...none });
      assert.deepEqual(before[1], { orders: 1, keys: 0, events: 1, jobs: 1, ...none });
      assert.deepEqual(before[2], { orders: 0, keys: 0, events: 0, jobs: 0, ...none });
    });

    it('writes order, first event and its jobs as they were asked for', async () => {
      const { sql, order, placed } = open();
      const { order: asked, eventId } = await placed({ traceparent: '00-aa-bb-01', userId: null, country: 'DE' });
      assert.deepEqual(await order(asked.id), asked);
      const rows = await sql(
        `SELECT e.id, e.version, e.type, e.data, e.correlation_id, e.causation_id, e.traceparent, e.time, j.consumer,
                j.event_type, j.attempt
         FROM events e JOIN jobs j USING (order_id, version) WHERE e.order_id = $1`,
        [asked.id],
      );
      assert.deepEqual(rows, [
        {
          id: eventId,
          version: 1,
          type: 'OrderCreatedV1',
          data: { orderId: asked.id, amount: 2_500, currency: 'EUR', country: 'DE' },
          correlation_id: 'c-1',
          causation_id: null,
          traceparent: '00-aa-bb-01',
          time: asked.createdAt,
          consumer: 'payment',
          event_type: 'OrderCreatedV1',
          attempt: 0,
        },
      ]);
    });

    it('keeps whatever text a customer may send, to the letter', async () => {
      const { order, placed } = open();
      const given = {
        customerEmail: `"o'brien, {\\}"@example.com`,
        userId: 'NULL',
        correlationId: '{a,"b",NULL}',
        items: [{ sku: '"quoted" \\ {braces}, ünïcode – 漢字 🚚', quantity: 1, unitPrice: 2_500 }],
      };
      const { order: asked } = await placed(given);
      assert.deepEqual(await order(asked.id), asked);
    });

    it('lets one impossible order fail alone, the others of its flush are placed', async () => {
      const { accept, requestOf, rowsOf, system } = open();
      const options = { flush: accept, failureOf, system, maxRows: 100, capacity: 1_000, patienceMs: 10_000 };
      const group = createGroupCommit<PlaceRequest, PlaceAnswer>(options);
      const requests = Array.from({ length: 9 }, (_, nth) => requestOf(nth === 4 ? { amount: 0 } : {}));
      const ends = await Promise.allSettled(requests.map(group.add));
      for (const [nth, end] of ends.entries()) {
        const { orders } = await rowsOf(requests[nth]?.order.id ?? '');
        assert.deepEqual([end.status, orders], nth === 4 ? ['rejected', 0] : ['fulfilled', 1]);
      }
    });

    it('places a fresh order for a key whose retention is over', async () => {
      const { accept, requestOf, sql } = open();
      await accept([requestOf({ key: 'forgotten' })]);
      await sql(`DELETE FROM idempotency_keys WHERE key = 'forgotten'`);
      assert.deepEqual(answersOf(await accept([requestOf({ key: 'forgotten' })])), ['placed']);
    });

    it('finds its own order when the key was forgotten before the flush was run again', async () => {
      const { accept, requestOf, rowsOf, sql } = open();
      const request = requestOf({ key: 'forgotten meanwhile' });
      await accept([request]);
      await sql(`DELETE FROM idempotency_keys WHERE key = 'forgotten meanwhile'`);
      assert.deepEqual(answersOf(await accept([request])), ['placed']);
      assert.deepEqual((await rowsOf(request.order.id)).events, 1);
    });

    it('says what was placed although the winners of the other keys cannot be read just now', async () => {
      const { accept, requestOf, rowsOf, database, system } = open();
      const first = requestOf({ key: 'won before' });
      await accept([first]);
      const query = () => Promise.reject(new NotConnectedError(new Error('no connection is free')));
      const away = createAccept({ database: { ...database, query }, system, leaseMs: 60_000, onCommitted: () => {} });
      const fresh = requestOf({ key: 'won now' });
      const answers = await away([requestOf({ key: 'won before' }), fresh]);
      assert.deepEqual(
        answers.map((answer) => (answer === 'locked' ? answer : answer.answer)),
        ['locked', 'placed'],
      );
      assert.equal((await rowsOf(fresh.order.id)).orders, 1);
    });

    it('shows the order to who asks for it, and none that does not exist', async () => {
      const { desk, placed, system } = open();
      const { order } = await placed();
      assert.deepEqual(await desk.read(order.id), order);
      const nobody = await desk.read(system.newId() as typeof order.id);
      assert.ok(isRefusal(nobody) && nobody.refused === 'order-not-found');
    });
  });
}
