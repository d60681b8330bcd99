// What every database promises about people's requests: each is decided under the order's lock and written
// whole, with a row of the audit log.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Order } from '../../src/domain/order.ts';
import { isRefusal } from '../../src/domain/refusals.ts';
import { authorized, booked, type Store, troubleOf } from '../support/store.ts';

export function deskContract(open: () => Store): void {
  const auditOf = async (orderId: string) => {
    const rows = await open().sql<{ action: string; correlation_id: string }>(
      'SELECT action, correlation_id FROM audit_log WHERE order_id = $1 ORDER BY at',
      [orderId],
    );
    return rows.map(({ action, correlation_id }) => `${action} by ${correlation_id}`);
  };
  const deadLettersOf = async (orderId: string) => {
    const rows = await open().sql<{ consumer: string; closed_how: string | null }>(
      'SELECT consumer, closed_how FROM dead_letters WHERE order_id = $1 ORDER BY failed_at, id',
      [orderId],
    );
    return rows.map(({ consumer, closed_how }) => `${consumer} ${closed_how ?? 'open'}`);
  };
  // An order that payment gave up, and of whose failure the customer could not be told.
  const failedTwice = async () => {
    const { placed, claimed, deadBy, settleOnce, eventOf } = open();
    const { order, eventId } = await placed();
    await settleOnce(deadBy(await claimed('payment', eventId), troubleOf()));
    const failure = await eventOf(order.id, 'OrderFailedV1');
    await settleOnce(deadBy(await claimed('notification', failure), troubleOf()));
    return { order, eventId, failure };
  };
  const accepted = (answer: unknown): Order => {
    assert.ok(!isRefusal(answer), JSON.stringify(answer));
    return answer as Order;
  };

  describe('a cancel', () => {
    it('writes order, event, dead letters and audit; dead letters of steps that are no part of the order stay open', async () => {
      const { desk, order, eventsOf } = open();
      const { order: asked } = await failedTwice();
      const canceled = accepted(await desk.cancel(asked.id, 'changed my mind', 'c-5'));
      assert.deepEqual(await order(asked.id), canceled);
      assert.deepEqual([canceled.status, canceled.reason?.message], ['CANCELED', 'changed my mind']);
      assert.deepEqual(await eventsOf(asked.id), ['OrderCreatedV1', 'OrderFailedV1', 'OrderCanceledV1']);
      assert.deepEqual(await deadLettersOf(asked.id), ['payment canceled', 'notification open']);
      assert.deepEqual(await auditOf(asked.id), ['canceled by c-5']);
    });

    it('that comes again changes nothing, and one of a processed order is refused', async () => {
      const { desk, placed, paid, claimed, doneWith, settleOnce, rowsOf } = open();
      const { order } = await placed();
      const canceled = accepted(await desk.cancel(order.id, null, 'c-1'));
      const before = await rowsOf(order.id);
      assert.deepEqual(await desk.cancel(order.id, null, 'c-2'), canceled);
      assert.deepEqual([await rowsOf(order.id), await auditOf(order.id)], [before, ['canceled by c-1']]);
      const { order: sold, eventId } = await paid();
      await settleOnce(doneWith(await claimed('fulfillment', eventId), booked));
      const refused = await desk.cancel(sold.id, null, 'c-3');
      assert.ok(isRefusal(refused) && refused.refused === 'order-already-processed');
      assert.deepEqual(await auditOf(sold.id), []);
    });

    it('leaves the order’s claim running: what it brings home is recorded', async () => {
      const { desk, placed, claimed, jobInWords, doneWith, settleOnce, order } = open();
      const { order: asked, eventId } = await placed();
      const work = await claimed('payment', eventId);
      await desk.cancel(asked.id, null, 'c-1');
      assert.equal(await jobInWords('payment', eventId), 'claimed 1/0');
      await settleOnce(doneWith(work, authorized));
      assert.equal((await order(asked.id)).payment, 'authorized');
    });
  });

  describe('a reprocess', () => {
    it('closes all open dead letters and creates their jobs again, with all attempts, in a new epoch', async () => {
      const { desk, job, eventsOf, claimed, sql } = open();
      const { order, eventId, failure } = await failedTwice();
      const again = accepted(await desk.reprocess(order.id, 'c-6'));
      assert.deepEqual([again.status, again.reason, again.retryCount], ['PENDING', null, 0]);
      assert.deepEqual(await deadLettersOf(order.id), ['payment reprocessed', 'notification reprocessed']);
      assert.deepEqual(await eventsOf(order.id), ['OrderCreatedV1', 'OrderFailedV1', 'OrderReprocessedV1']);
      for (const [consumer, event] of [
        ['payment', eventId],
        ['notification', failure],
      ] as const) {
        const row = await job(consumer, event);
        assert.deepEqual([row?.token, row?.epoch, row?.attempt, row?.takeovers], [null, 1, 0, 0]);
      }
      const work = await claimed('payment', eventId);
      assert.deepEqual([work.epoch, work.attempt], [1, 1]);
      // The first outcome was certainly without effect, so the next call goes out under a new key.
      assert.equal(work.subject.effects.authorization?.generation, 1);
      assert.deepEqual(await auditOf(order.id), ['reprocessed by c-6']);
      const [event] = await sql(`SELECT causation_id FROM events WHERE order_id = $1 AND type = 'OrderReprocessedV1'`, [
        order.id,
      ]);
      assert.deepEqual(event, { causation_id: eventId });
    });

    it('of one dead letter leaves the others, and the order where the dead letter is no core step’s', async () => {
      const { desk, order, sql } = open();
      const { order: asked } = await failedTwice();
      const [deadLetter] = await sql<{ id: string }>(
        `SELECT id FROM dead_letters WHERE order_id = $1 AND consumer = 'notification'`,
        [asked.id],
      );
      const unchanged = accepted(await desk.reprocessDeadLetter(deadLetter?.id ?? '', 'c-7'));
      assert.deepEqual(await order(asked.id), unchanged);
      assert.equal(unchanged.status, 'FAILED');
      assert.deepEqual(await deadLettersOf(asked.id), ['payment open', 'notification reprocessed']);
      const second = await desk.reprocessDeadLetter(deadLetter?.id ?? '', 'c-8');
      assert.ok(isRefusal(second) && second.refused === 'no-dead-letter');
    });

    it('of what has no open dead letter is refused', async () => {
      const { desk, placed, system } = open();
      const { order } = await placed();
      const { order: failed } = await failedTwice();
      accepted(await desk.reprocess(failed.id, 'c-1'));
      for (const id of [order.id, failed.id, system.newId() as Order['id']]) {
        const refused = await desk.reprocess(id, 'c-2');
        assert.ok(isRefusal(refused) && refused.refused === 'no-dead-letter');
      }
    });
  });

  describe('discarding', () => {
    const deadLetterOf = async (id: string, consumer: string) => {
      const [deadLetter] = await open().sql<{ id: string }>(
        'SELECT id FROM dead_letters WHERE order_id = $1 AND consumer = $2',
        [id, consumer],
      );
      return deadLetter?.id ?? '';
    };

    it('closes the dead letter alone, with its reason in the audit log and in the timeline', async () => {
      const { desk, order, rowsOf, sql } = open();
      const { order: asked } = await failedTwice();
      const before = await order(asked.id);
      const { jobs } = await rowsOf(asked.id);
      const deadLetter = await deadLetterOf(asked.id, 'notification');
      assert.deepEqual(accepted(await desk.discardDeadLetter(deadLetter, 'was called by phone', 'd-1')), before);
      assert.deepEqual(await deadLettersOf(asked.id), ['payment open', 'notification discarded']);
      assert.deepEqual((await rowsOf(asked.id)).jobs, jobs);
      assert.deepEqual(await auditOf(asked.id), ['letter-discarded by d-1']);
      const audits = await sql('SELECT detail FROM audit_log WHERE order_id = $1', [asked.id]);
      assert.deepEqual(audits, [
        { detail: { letters: [{ id: deadLetter, consumer: 'notification' }], reason: 'was called by phone' } },
      ]);
      const timeline = await desk.timeline(asked.id);
      assert.ok(!isRefusal(timeline));
      const texts = timeline.map(({ text }) => text);
      assert.ok(texts.includes('A dead letter was discarded: was called by phone.'), texts.join('\n'));
      assert.ok(texts.includes('The dead letter of notification was closed: discarded.'), texts.join('\n'));
      const again = await desk.discardDeadLetter(deadLetter, 'again', 'd-2');
      assert.ok(isRefusal(again) && again.refused === 'no-dead-letter');
      const sentBack = await desk.reprocessDeadLetter(deadLetter, 'd-3');
      assert.ok(isRefusal(sentBack) && sentBack.refused === 'no-dead-letter');
    });

    it('of a core step is refused, and says that the order has to be canceled', async () => {
      const { desk, rowsOf } = open();
      const { order: asked } = await failedTwice();
      const before = await rowsOf(asked.id);
      const refused = await desk.discardDeadLetter(await deadLetterOf(asked.id, 'payment'), 'no need', 'd-1');
      assert.ok(isRefusal(refused) && refused.refused === 'order-needs-cancel', JSON.stringify(refused));
      assert.match(refused.detail, /cannot go on without payment: cancel the order/);
      assert.deepEqual(await rowsOf(asked.id), before);
      assert.deepEqual(
        [await deadLettersOf(asked.id), await auditOf(asked.id)],
        [['payment open', 'notification open'], []],
      );
      accepted(await desk.cancel(asked.id, 'no need', 'd-2'));
      assert.deepEqual(await deadLettersOf(asked.id), ['payment canceled', 'notification open']);
    });
  });

  describe('the list of dead letters', () => {
    it('is paged, newest first, each dead letter once, and can be narrowed', async () => {
      const { desk, placed, claimed, deadBy, settleOnce } = open();
      const code = 'a code of this test';
      const ids: string[] = [];
      for (let count = 0; count < 5; count += 1) {
        const { order, eventId } = await placed();
        await settleOnce(deadBy(await claimed('payment', eventId), troubleOf({ code })));
        ids.unshift(order.id);
      }
      const seen: (string | null)[] = [];
      let after: { failedAt: Date; id: string } | null = null;
      for (let pages = 0; pages < 3; pages += 1) {
        const page = await desk.deadLetters({ limit: 2, after, consumer: null, code });
        seen.push(...page.items.map(({ orderId }) => orderId));
        after = page.next;
      }
      assert.deepEqual(seen, ids);
      assert.equal(after, null);
      const others = await desk.deadLetters({ limit: 100, after: null, consumer: 'fulfillment', code });
      assert.deepEqual(others.items, []);
      const [deadLetter] = (await desk.deadLetters({ limit: 1, after: null, consumer: 'payment', code })).items;
      assert.deepEqual(deadLetter?.order, { status: 'FAILED', amount: 2_500, currency: 'EUR', country: 'US' });
    });
  });
}
