// What every database promises operators about dead letters: they are found by what they have in common, counted
// honestly, told with all that is known of them, and corrected or ended with a row of the audit log.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Order } from '../../src/domain/order.ts';
import { isRefusal } from '../../src/domain/refusals.ts';
import type { DeadLetterSelection } from '../../src/flow/dead-letters.ts';
import type { GroupKey } from '../../src/flow/operators/ports.ts';
import { countDeadLetters } from '../../src/io/postgres/dead-letter-list.ts';
import { createOperatorDesk } from '../../src/io/postgres/operators.ts';
import { type Store, troubleOf } from '../support/store.ts';

export function lettersContract(open: () => Store): void {
  const operators = () => createOperatorDesk({ database: open().database, system: open().system });
  // An order that payment gave up.
  const parked = async (given: Partial<Order>, trouble: Parameters<typeof troubleOf>[0]) => {
    const { placed, claimed, deadBy, settleOnce, eventOf } = open();
    const { order, eventId } = await placed(given);
    await settleOnce(deadBy(await claimed('payment', eventId), troubleOf(trouble)));
    return { order, eventId, failure: await eventOf(order.id, 'OrderFailedV1') };
  };
  const idsOf = async (orderId: string) =>
    (
      await open().sql<{ id: string }>('SELECT id FROM dead_letters WHERE order_id = $1 ORDER BY failed_at, id', [
        orderId,
      ])
    ).map(({ id }) => id);
  const auditOf = async (orderId: string) =>
    (await operators().audit({ limit: 10, after: null, orderId })).items.map(({ action, by, detail }) => ({
      action,
      by,
      detail,
    }));

  describe('dead letters as operators see them', () => {
    it('are selected by every part of the filter, and by all of them together', async () => {
      const { desk } = open();
      const code = 'a-code-of-the-filter';
      const small = await parked(
        { amount: 100, currency: 'EUR', country: 'DE' },
        { code, dependency: 'payments', message: '100% Away' },
      );
      const large = await parked({ amount: 9_000, currency: 'USD', country: 'US' }, { code, message: 'a_b' });
      const found = async (selection: DeadLetterSelection) => {
        const { items, next } = await desk.deadLetters({ limit: 100, after: null, code, ...selection });
        assert.equal(next, null);
        assert.equal((await countDeadLetters(open().sql, { code, ...selection })).count, items.length);
        return items.map(({ orderId }) => (orderId === small.order.id ? 'small' : 'large'));
      };
      assert.deepEqual(await found({}), ['large', 'small']);
      assert.deepEqual(await found({ partner: 'payments' }), ['small']);
      assert.deepEqual(await found({ partner: '' }), ['large']);
      assert.deepEqual(await found({ country: 'DE' }), ['small']);
      assert.deepEqual(await found({ currency: 'USD' }), ['large']);
      assert.deepEqual(await found({ amountMin: 101 }), ['large']);
      assert.deepEqual(await found({ amountMin: 100, amountMax: 8_999 }), ['small']);
      assert.deepEqual(await found({ orderId: large.order.id }), ['large']);
      // Words, and no pattern.
      assert.deepEqual(await found({ text: '% away' }), ['small']);
      assert.deepEqual(await found({ text: 'A_B' }), ['large']);
      assert.deepEqual(await found({ text: 'aXb' }), []);
      const [
        {
          items: [first],
        },
      ] = await Promise.all([desk.deadLetters({ limit: 1, after: null, code })]);
      assert.ok(first);
      assert.deepEqual(await found({ from: first.failedAt }), ['large']);
      assert.deepEqual(await found({ to: first.failedAt }), ['small']);
      assert.deepEqual(
        await found({ partner: 'payments', country: 'DE', currency: 'EUR', amountMax: 100, text: 'away' }),
        ['small'],
      );
      assert.deepEqual(await found({ partner: 'payments', country: 'US' }), []);
    });

    it('that are closed are listed apart, with how; one that is there again says for which time', async () => {
      const { desk, claimed, deadBy, settleOnce } = open();
      const { order, eventId } = await parked({}, { code: 'again' });
      await desk.reprocess(order.id, 'c-1');
      await settleOnce(deadBy(await claimed('payment', eventId), troubleOf({ code: 'again' })));
      const listed = async (isClosed: boolean) =>
        (await desk.deadLetters({ limit: 10, after: null, orderId: order.id, isClosed })).items.map(
          ({ times, closedHow }) => ({
            times,
            closedHow,
          }),
        );
      assert.deepEqual(await listed(false), [{ times: 2, closedHow: null }]);
      assert.deepEqual(await listed(true), [{ times: 1, closedHow: 'reprocessed' }]);
      const [first = '', second = ''] = await idsOf(order.id);
      const story = await operators().deadLetter(first);
      assert.ok(!isRefusal(story));
      assert.deepEqual(
        [story.letter.closedHow, story.order.status, story.event.id],
        ['reprocessed', 'FAILED', eventId],
      );
      assert.deepEqual(
        story.others.map(({ id }) => id),
        [second],
      );
      assert.deepEqual(
        story.attempts.map(({ outcome, epoch }) => `${outcome} ${epoch}`),
        ['dead 0', 'dead 1'],
      );
      assert.ok(story.timeline.some(({ type }) => type === 'OrderReprocessedV1'));
      const none = await operators().deadLetter(order.id);
      assert.ok(isRefusal(none) && none.refused === 'no-dead-letter');
    });

    it('are grouped by their causes, most first, and by anything else that they have in common', async () => {
      const code = 'a-code-of-the-groups';
      for (const amount of [5, 50, 55]) {
        await parked(
          { amount, currency: 'EUR', country: 'DE' },
          { code, dependency: 'payments', message: `no ${amount}` },
        );
      }
      await parked({ amount: 50, currency: 'USD', country: 'US' }, { code });
      const grouped = async (by: GroupKey[], selection: DeadLetterSelection = {}) => {
        const { items, total, lookedBackTo } = await operators().deadLetterGroups(by, { code, ...selection });
        assert.deepEqual([lookedBackTo, total], [null, { count: total.count, isAtLeast: false }]);
        assert.equal(
          items.reduce((sum, { count }) => sum + count, 0),
          total.count,
        );
        return items.map(({ group, count }) => [group, count]);
      };
      const consumer = 'payment';
      assert.deepEqual(await grouped(['consumer', 'code', 'partner']), [
        [{ consumer, code, partner: 'payments' }, 3],
        [{ consumer, code, partner: null }, 1],
      ]);
      assert.deepEqual(await grouped(['code']), [[{ code }, 4]]);
      assert.deepEqual(await grouped(['partner'], { partner: '' }), [[{ partner: null }, 1]]);
      assert.deepEqual(await grouped(['country']), [
        [{ country: 'DE' }, 3],
        [{ country: 'US' }, 1],
      ]);
      assert.deepEqual(await grouped(['amount']), [
        [{ amountMin: 10, amountMax: 99, currency: 'EUR' }, 2],
        [{ amountMin: 1, amountMax: 9, currency: 'EUR' }, 1],
        [{ amountMin: 10, amountMax: 99, currency: 'USD' }, 1],
      ]);
      assert.deepEqual(await grouped(['consumer', 'partner'], { country: 'DE', text: 'no 5' }), [
        [{ consumer, partner: 'payments' }, 3],
      ]);
      const {
        items: [first],
      } = await operators().deadLetterGroups(['consumer', 'code', 'partner'], { code });
      assert.deepEqual([first?.sampleMessage, first?.count], ['no 55', 3]);
      const {
        items: [day],
      } = await operators().deadLetterGroups(['day'], { code });
      assert.equal(Number(day?.group.to) - Number(day?.group.from), 86_400_000);
      assert.ok(day && first && first.newestAt >= (day.group.from ?? 0) && first.newestAt < (day.group.to ?? 0));
    });

    it('of a core step end with their order, where that is what was asked for', async () => {
      const { desk, order } = open();
      const { order: asked } = await parked({}, {});
      const [id = ''] = await idsOf(asked.id);
      const refused = await desk.discardDeadLetter(id, 'nobody wants it', 'c-1', 'ann');
      assert.ok(isRefusal(refused) && refused.refused === 'order-needs-cancel');
      await desk.discardDeadLetter(id, 'nobody wants it', 'c-1', 'ann', true);
      const ended = await order(asked.id);
      assert.deepEqual([ended.status, ended.reason?.message], ['CANCELED', 'nobody wants it']);
      assert.deepEqual(await auditOf(asked.id), [{ action: 'canceled', by: 'ann', detail: { from: 'FAILED' } }]);
    });

    it('of a mail go back with another address, in one, and no money’s dead letter does', async () => {
      const { desk, claimed, deadBy, settleOnce, order, job } = open();
      const { order: asked, failure } = await parked({ customerEmail: 'old@example.com' }, {});
      await settleOnce(deadBy(await claimed('notification', failure), troubleOf({ code: 'no-such-address' })));
      const [payment = '', mail = ''] = await idsOf(asked.id);
      const correction = { customerEmail: 'new@example.org', reason: 'she called' };
      const refused = await desk.correctDeadLetter(payment, correction, 'c-1', 'ann');
      assert.ok(isRefusal(refused) && refused.refused === 'not-correctable');
      assert.equal((await order(asked.id)).customerEmail, 'old@example.com');
      const answered = await desk.correctDeadLetter(mail, correction, 'c-2', 'ann');
      assert.deepEqual(await order(asked.id), answered);
      assert.equal((await order(asked.id)).customerEmail, 'new@example.org');
      assert.equal((await job('notification', failure))?.epoch, 1);
      const work = await claimed('notification', failure);
      assert.equal(work.subject.order.customerEmail, 'new@example.org');
      assert.deepEqual(await auditOf(asked.id), [
        {
          action: 'letter-corrected',
          by: 'ann',
          detail: {
            ...{ letters: [{ id: mail, consumer: 'notification' }], field: 'customerEmail' },
            ...{ from: 'o***@example.com', to: 'n***@example.org', reason: 'she called' },
          },
        },
      ]);
      const again = await desk.correctDeadLetter(mail, correction, 'c-3');
      assert.ok(isRefusal(again) && again.refused === 'no-dead-letter');
    });

    it('of one consumer and order go back in the order of their events', async () => {
      const { desk, claimed, deadBy, settleOnce, eventOf } = open();
      const { order, failure } = await parked({}, {});
      await settleOnce(deadBy(await claimed('notification', failure), troubleOf()));
      await desk.cancel(order.id, null, 'c-1');
      const canceled = await eventOf(order.id, 'OrderCanceledV1');
      await settleOnce(deadBy(await claimed('notification', canceled), troubleOf()));
      const [, first = '', second = ''] = await idsOf(order.id);
      const refused = await desk.reprocessDeadLetter(second, 'c-2');
      assert.ok(isRefusal(refused) && refused.refused === 'earlier-letter-open');
      assert.ok(!isRefusal(await desk.reprocessDeadLetter(first, 'c-3')));
      assert.ok(!isRefusal(await desk.reprocessDeadLetter(second, 'c-4')));
    });

    it('that are sent back together are worked on in the order of their events', async () => {
      const { desk, sql, jobs, stepOf, claimed, claimOnce, claimOf, deadBy, settleOnce, eventOf } = open();
      const { order, failure } = await parked({}, {});
      const early = await claimed('notification', failure);
      await desk.cancel(order.id, null, 'c-1');
      const canceled = await eventOf(order.id, 'OrderCanceledV1');
      await settleOnce(deadBy(await claimed('notification', canceled), troubleOf()));
      await settleOnce(deadBy(early, troubleOf()));
      await sql('DELETE FROM jobs');
      assert.ok(!isRefusal(await desk.reprocess(order.id, 'c-2')));
      assert.equal((await claimOnce(claimOf('notification', canceled))).answer, 'not-due');
      // Nobody is told of the failure of an order that is canceled, so the earlier one ends with its claim.
      const { answers } = await jobs.claimDue(stepOf('notification'), 10, 'due');
      assert.deepEqual(
        answers.map(({ answer }) => answer),
        ['obsolete'],
      );
      assert.deepEqual(await jobs.findDue([stepOf('notification')]), ['notification']);
      assert.equal((await claimOnce(claimOf('notification', canceled))).answer, 'run');
    });
  });

  describe('the audit log', () => {
    it('is read page by page, newest first, by who did what and when', async () => {
      const { desk, placed, system } = open();
      const before = system.now();
      const ids: string[] = [];
      for (const by of ['zoe', 'zoe', 'yan']) {
        const { order } = await placed();
        await desk.cancel(order.id, null, `c-${by}`, by);
        ids.unshift(order.id);
      }
      const first = await operators().audit({ limit: 2, after: null, action: 'canceled', from: before });
      const second = await operators().audit({ limit: 2, after: first.next, action: 'canceled', from: before });
      assert.deepEqual(
        [...first.items, ...second.items].map(({ orderId }) => orderId),
        ids,
      );
      assert.equal(second.next, null);
      const zoes = await operators().audit({ limit: 10, after: null, by: 'zoe' });
      assert.deepEqual(
        zoes.items.map(({ correlationId }) => correlationId),
        ['c-zoe', 'c-zoe'],
      );
      assert.deepEqual(
        (await operators().audit({ limit: 10, after: null, action: 'canceled', to: before, by: 'zoe' })).items,
        [],
      );
    });
  });
}
