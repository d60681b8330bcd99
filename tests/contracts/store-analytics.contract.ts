// What every database promises about a step that ends at its claim, shown by the books of analytics.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createBooks } from '../../src/io/postgres/books.ts';
import { answersOf, authorized, booked, type Store } from '../support/store.ts';

export function analyticsContract(open: () => Store): void {
  // Each test keeps books of its own: orders of a day that no other one has.
  let days = 0;
  const nextDay = () => {
    days += 1;
    return new Date(Date.UTC(2001, 0, days, 12));
  };
  const dayOf = (date: Date) => date.toISOString().slice(0, 10);
  const rangeOf = (date: Date) => ({ from: dayOf(date), to: dayOf(new Date(date.getTime() + 86_400_000)) });
  const statusesOf = async ({ database }: Store, date: Date) =>
    (await createBooks(database).statuses(rangeOf(date))).map(
      ({ status, currency, count, amount }) => `${status} ${currency} ${count} ${amount}`,
    );

  describe('the books', () => {
    it('count a fact with its receipt, done at once and without a lease', async () => {
      const store = open();
      const createdAt = nextDay();
      const { eventId } = await store.placed({ createdAt, amount: 2_500 });
      const request = store.claimOf('analytics', eventId);
      assert.deepEqual(await store.claimOnce(request), { answer: 'done' });
      const row = await store.delivery('analytics', eventId);
      assert.deepEqual(
        [row?.state, row?.attempt, row?.takeovers, row?.token, row?.due_at],
        ['done', 1, 0, request.token, null],
      );
      assert.deepEqual(await statusesOf(store, createdAt), ['PENDING EUR 1 2500']);
    });

    it('count a fact once, whoever claims it how often, the same flush again included', async () => {
      const store = open();
      const createdAt = nextDay();
      const { eventId } = await store.placed({ createdAt });
      const request = store.claimOf('analytics', eventId);
      assert.deepEqual(answersOf(await store.claim([request, store.claimOf('analytics', eventId)])), [
        'done',
        'locked',
      ]);
      // As after a lost answer, and as another worker.
      assert.deepEqual(answersOf(await store.claim([request])), ['duplicate']);
      assert.deepEqual(await store.claimOnce(store.claimOf('analytics', eventId)), { answer: 'duplicate' });
      assert.deepEqual(await statusesOf(store, createdAt), ['PENDING EUR 1 2500']);
    });

    it('count several facts of one order in one flush, in whatever order', async () => {
      const store = open();
      const createdAt = nextDay();
      const { order, created, eventId } = await store.paid({ createdAt });
      await store.settleOnce(store.doneWith(await store.claimed('fulfillment', eventId), booked));
      const scheduled = await store.factOf(order.id, 'FulfillmentScheduledV1');
      const claims = [scheduled, created].map((id) => store.claimOf('analytics', id));
      assert.deepEqual(answersOf(await store.claim(claims)), ['done', 'done']);
      assert.deepEqual(await statusesOf(store, createdAt), ['PROCESSED EUR 1 2500']);
      const { days: lines, all } = await createBooks(store.database).durations(rangeOf(createdAt));
      assert.deepEqual([lines.map(({ day }) => day), all?.count], [[dayOf(createdAt)], 1]);
    });

    it('hide a line while the fact that moved an order is ahead of the one that made it', async () => {
      const store = open();
      const createdAt = nextDay();
      const { order, eventId } = await store.placed({ createdAt });
      await store.desk.cancel(order.id, null, 'c-2');
      const canceled = await store.factOf(order.id, 'OrderCanceledV1');
      await store.claimOnce(store.claimOf('analytics', canceled));
      assert.deepEqual(await statusesOf(store, createdAt), ['CANCELED EUR 1 2500']);
      await store.claimOnce(store.claimOf('analytics', eventId));
      assert.deepEqual(await statusesOf(store, createdAt), ['CANCELED EUR 1 2500']);
    });

    it('do not wait for an order that somebody holds, and hold none', async () => {
      const store = open();
      const createdAt = nextDay();
      const { eventId } = await store.placed({ createdAt });
      const work = await store.claimed('payment', eventId);
      // One that is locked would be answered so.
      assert.deepEqual(answersOf(await store.claim([store.claimOf('analytics', eventId)])), ['done']);
      assert.equal(await store.settleOnce(store.doneWith(work, authorized)), 'settled');
    });

    it('hold sums beyond what a number and a bigint hold', async () => {
      const store = open();
      const createdAt = nextDay();
      const largest = Number.MAX_SAFE_INTEGER;
      const placed = await Promise.all(Array.from({ length: 2 }, () => store.placed({ createdAt, amount: largest })));
      await store.claim(placed.map(({ eventId }) => store.claimOf('analytics', eventId)));
      const two = 2n * BigInt(largest);
      assert.deepEqual(await statusesOf(store, createdAt), [`PENDING EUR 2 ${two}`]);
      await store.sql(`UPDATE analytics SET amount = 9223372036854775807 WHERE day = $1`, [dayOf(createdAt)]);
      const { eventId } = await store.placed({ createdAt, amount: largest });
      await store.claimOnce(store.claimOf('analytics', eventId));
      assert.deepEqual(await statusesOf(store, createdAt), [`PENDING EUR 3 ${2n ** 63n - 1n + BigInt(largest)}`]);
    });

    it('leave a version of a newer release to that release, and count what was given up when it is sent back', async () => {
      const store = open();
      const createdAt = nextDay();
      const { eventId } = await store.placed({ createdAt });
      const rename = (type: string) => store.sql('UPDATE events SET type = $2 WHERE id = $1', [eventId, type]);
      await rename('OrderCreatedV9');
      assert.deepEqual(await store.claimOnce(store.claimOf('analytics', eventId)), { answer: 'waiting' });
      // The newer release is there at last, but for too long nobody was.
      await rename('OrderCreatedV1');
      await store.waitingSince('analytics', eventId, 25 * 3_600_000);
      await store.makeDue('analytics', eventId);
      const answer = await store.claimOnce(store.claimOf('analytics', eventId));
      assert.ok(answer.answer === 'run' && answer.work.exhausted?.code === 'waited-too-long');
      assert.equal(await store.settleOnce(store.deadBy(answer.work, answer.work.exhausted)), 'settled');
      assert.deepEqual(await statusesOf(store, createdAt), []);
      const filter = { limit: 1, after: null, consumer: 'analytics', code: null };
      const [letter] = (await store.desk.deadLetters(filter)).items;
      await store.desk.reprocessLetter(letter?.id ?? '', 'c-3');
      assert.deepEqual(await store.claimOnce(store.claimOf('analytics', eventId)), { answer: 'done' });
      assert.deepEqual(await statusesOf(store, createdAt), ['PENDING EUR 1 2500']);
    });

    it('tell reasons and countries apart, and days', async () => {
      const store = open();
      const createdAt = nextDay();
      const { order, eventId } = await store.placed({ createdAt, country: 'DE' });
      const other = await store.placed({ createdAt: nextDay(), country: 'DE' });
      await store.desk.cancel(order.id, 'a "reason" of {theirs}', 'c-2');
      const canceled = await store.factOf(order.id, 'OrderCanceledV1');
      await store.claim([eventId, canceled, other.eventId].map((id) => store.claimOf('analytics', id)));
      const books = createBooks(store.database);
      const line = { day: dayOf(createdAt), currency: 'EUR', count: 1, amount: 2_500n };
      assert.deepEqual(await books.countries(rangeOf(createdAt)), [{ ...line, status: 'CANCELED', country: 'DE' }]);
      assert.deepEqual(await books.reasons(rangeOf(createdAt)), [
        { ...line, kind: 'canceled', code: 'canceled-by-request' },
      ]);
      const everything = await books.statuses({ from: null, to: null });
      assert.ok(everything.length >= 2, 'a range without ends has all days');
    });
  });
}
