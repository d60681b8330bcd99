// What every database promises about claims: the durable write before any work.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { takeoversMax } from '../../src/engine/admit.ts';
import { answersOf, authorized, declined, type Store, troubleOf } from '../support/store.ts';

export function claimContract(open: () => Store): void {
  describe('a claim', () => {
    it('of a new fact gets the work, the lease and the intent, and the order is taken up', async () => {
      const { placed, claimOf, claimOnce, delivery, effect, order, factsOf } = open();
      const { order: before, eventId } = await placed();
      const request = claimOf('payment', eventId);
      const answer = await claimOnce(request);
      assert.ok(answer.answer === 'run');
      const { work } = answer;
      assert.deepEqual([work.attempt, work.epoch, work.exhausted, work.token], [1, 0, null, request.token]);
      const [row, intent, after] = [
        await delivery('payment', eventId),
        await effect(before.id, 'authorization'),
        await order(before.id),
      ];
      assert.deepEqual([row?.state, row?.attempt, row?.takeovers, row?.token], ['running', 1, 0, request.token]);
      assert.deepEqual(intent, { state: 'intent', token: request.token });
      assert.deepEqual([after.status, after.payment, after.version], ['PROCESSING', 'pending', 1]);
      assert.deepEqual(work.subject.order, after);
      assert.equal(work.subject.effects.authorization?.generation, 0);
      assert.deepEqual(await factsOf(before.id), ['OrderCreatedV1']);
    });

    it('takes the fact from the database, and knows when there is none', async () => {
      const { placed, claimOf, claimOnce, system, rowsOf } = open();
      const { order, eventId } = await placed();
      const answer = await claimOnce(claimOf('payment', eventId));
      assert.ok(answer.answer === 'run');
      const { id, type, subject, version, data } = answer.work.fact;
      assert.deepEqual(
        [id, type, subject, version, data.amount],
        [eventId, 'OrderCreatedV1', order.id, 1, order.amount],
      );
      assert.deepEqual(await claimOnce(claimOf('payment', system.newId())), { answer: 'unknown-fact' });
      assert.equal((await rowsOf(order.id)).deliveries, 1);
    });

    it('while another worker holds the lease is busy, and changes nothing', async () => {
      const { placed, claimed, claimOf, claimOnce, delivery } = open();
      const { eventId } = await placed();
      await claimed('payment', eventId);
      const before = await delivery('payment', eventId);
      assert.deepEqual(await claimOnce(claimOf('payment', eventId)), { answer: 'busy' });
      assert.deepEqual(await delivery('payment', eventId), before);
    });

    it('of work that has ended is a duplicate, however it ended', async () => {
      const { placed, claimed, claimOf, claimOnce, doneWith, deadBy, settleOnce, desk, deliveryInWords } = open();
      const ended = async (end: 'done' | 'dead' | 'skipped') => {
        const { order, eventId } = await placed();
        if (end === 'skipped') {
          await desk.cancel(order.id, null, 'c-2');
          assert.deepEqual(await claimOnce(claimOf('payment', eventId)), { answer: 'obsolete' });
        } else {
          const work = await claimed('payment', eventId);
          await settleOnce(end === 'done' ? doneWith(work, authorized) : deadBy(work, troubleOf()));
        }
        assert.match(await deliveryInWords('payment', eventId), new RegExp(`^${end} `));
        return claimOnce(claimOf('payment', eventId));
      };
      for (const end of ['done', 'dead', 'skipped'] as const)
        assert.deepEqual(await ended(end), { answer: 'duplicate' }, end);
    });

    it('of a retry that is not due yet is told to wait; when it is due it runs, and is charged', async () => {
      const { placed, claimed, claimOf, claimOnce, waitingFor, settleOnce, makeDue, deliveryInWords } = open();
      const { eventId } = await placed();
      await settleOnce(waitingFor(await claimed('payment', eventId), 60_000, true));
      assert.deepEqual(await claimOnce(claimOf('payment', eventId)), { answer: 'waiting' });
      assert.equal(await deliveryInWords('payment', eventId), 'waiting 1/0');
      await makeDue('payment', eventId);
      assert.equal((await claimed('payment', eventId)).attempt, 2);
      assert.equal(await deliveryInWords('payment', eventId), 'running 2/0');
    });

    it('of work that nobody needs any more is obsolete, and ends it', async () => {
      const { placed, claimOf, claimOnce, desk, deliveryInWords, effect } = open();
      const { order, eventId } = await placed();
      await desk.cancel(order.id, null, 'c-2');
      assert.deepEqual(await claimOnce(claimOf('payment', eventId)), { answer: 'obsolete' });
      assert.equal(await deliveryInWords('payment', eventId), 'skipped 0/0');
      assert.equal(await effect(order.id, 'authorization'), null);
    });

    it('for a type that its consumer does not read leaves no trace', async () => {
      const { placed, claimOf, claimOnce, deliveryInWords } = open();
      const { eventId } = await placed();
      assert.deepEqual(await claimOnce(claimOf('fulfillment', eventId)), { answer: 'obsolete' });
      assert.equal(await deliveryInWords('fulfillment', eventId), 'no row');
    });

    it('that runs again under its own token gets the same work, and writes nothing twice', async () => {
      const { placed, claimOf, claimOnce, delivery, rowsOf, order } = open();
      const { order: before, eventId } = await placed();
      const request = claimOf('payment', eventId);
      const first = await claimOnce(request);
      const [row, rows, taken] = [await delivery('payment', eventId), await rowsOf(before.id), await order(before.id)];
      const again = await claimOnce(request);
      assert.deepEqual(again, first);
      assert.deepEqual(
        [await delivery('payment', eventId), await rowsOf(before.id), await order(before.id)],
        [row, rows, taken],
      );
    });

    it('after a worker has died counts a takeover, not an attempt', async () => {
      const { placed, claimed, makeDue, deliveryInWords, effect, rowsOf } = open();
      const { order, eventId } = await placed();
      await claimed('payment', eventId);
      await makeDue('payment', eventId);
      const work = await claimed('payment', eventId);
      assert.equal(work.attempt, 1);
      assert.equal(await deliveryInWords('payment', eventId), 'running 1/1');
      // Its call may be on the way.
      assert.deepEqual(await effect(order.id, 'authorization'), { state: 'unknown', token: work.token });
      assert.equal((await rowsOf(order.id)).attempts, 1);
    });

    it('after five workers died on one order charges no attempt, and goes on', async () => {
      const { placed, claimed, makeDue, doneWith, settleOnce, deliveryInWords, order, sql } = open();
      const { order: asked, eventId } = await placed();
      for (let deaths = 1; deaths <= 5; deaths += 1) {
        await claimed('payment', eventId);
        await makeDue('payment', eventId);
      }
      assert.equal(await settleOnce(doneWith(await claimed('payment', eventId), authorized)), 'settled');
      assert.equal(await deliveryInWords('payment', eventId), 'done 1/5');
      assert.equal((await order(asked.id)).retryCount, 0);
      const attempts = await sql('SELECT outcome, attempt FROM attempts WHERE order_id = $1', [asked.id]);
      assert.deepEqual(attempts, Array(5).fill({ outcome: 'takeover', attempt: 1 }));
    });

    it('for the eleventh takeover gets work that must end, and the letter says that workers die of it', async () => {
      const { placed, claimed, makeDue, deadBy, settleOnce, deliveryInWords, order } = open();
      const { order: asked, eventId } = await placed();
      let work = await claimed('payment', eventId);
      for (let takeovers = 1; takeovers <= takeoversMax; takeovers += 1) {
        await makeDue('payment', eventId);
        work = await claimed('payment', eventId);
        assert.equal(work.exhausted, null);
      }
      await makeDue('payment', eventId);
      work = await claimed('payment', eventId);
      assert.equal(work.exhausted?.code, 'worker-lost');
      await settleOnce(deadBy(work, work.exhausted ?? troubleOf()));
      assert.equal(await deliveryInWords('payment', eventId), 'dead 1/11');
      assert.deepEqual((await order(asked.id)).reason?.code, 'worker-lost');
    });

    it('that is held enters the fact as waiting, uncharged, and nothing is intended', async () => {
      const { placed, claimOf, claimOnce, delivery, effect, order, makeDue, claimed } = open();
      const { order: asked, eventId } = await placed();
      assert.deepEqual(await claimOnce(claimOf('payment', eventId, { hold: true })), { answer: 'waiting' });
      const row = await delivery('payment', eventId);
      assert.deepEqual([row?.state, row?.attempt], ['waiting', 0]);
      assert.ok(row?.waiting_since, 'it is known since when it waits');
      assert.deepEqual([await effect(asked.id, 'authorization'), (await order(asked.id)).status], [null, 'PENDING']);
      await makeDue('payment', eventId);
      assert.deepEqual(await claimOnce(claimOf('payment', eventId, { hold: true })), { answer: 'waiting' });
      assert.deepEqual((await delivery('payment', eventId))?.waiting_since, row.waiting_since);
      await makeDue('payment', eventId);
      assert.equal((await claimed('payment', eventId)).attempt, 1);
    });

    it('of work that waited longer than allowed gets it back to be ended, not to be done', async () => {
      const { placed, claimOf, claimOnce, makeDue, waitingSince } = open();
      const { eventId } = await placed();
      await claimOnce(claimOf('payment', eventId, { hold: true }));
      await makeDue('payment', eventId);
      await waitingSince('payment', eventId, 86_400_001);
      const answer = await claimOnce(claimOf('payment', eventId, { hold: true }));
      assert.equal(answer.answer === 'run' && answer.work.exhausted?.code, 'waited-too-long');
    });

    it('of a version from a newer release waits for that release, an hour, then ends in a letter', async () => {
      const { placed, claimOf, claimOnce, deadBy, settleOnce, makeDue, waitingSince, delivery, order, sql } = open();
      const { order: asked, eventId } = await placed();
      await sql(`UPDATE events SET type = 'OrderCreatedV2' WHERE id = $1`, [eventId]);
      for (let offers = 0; offers < 3; offers += 1) {
        assert.deepEqual(await claimOnce(claimOf('payment', eventId)), { answer: 'waiting' });
        await makeDue('payment', eventId);
      }
      assert.equal((await delivery('payment', eventId))?.attempt, 0);
      await waitingSince('payment', eventId, 3_600_001);
      const answer = await claimOnce(claimOf('payment', eventId));
      assert.ok(answer.answer === 'run' && answer.work.exhausted?.code === 'unknown-version');
      await settleOnce(deadBy(answer.work, answer.work.exhausted));
      const { status, reason } = await order(asked.id);
      assert.deepEqual([status, reason?.code], ['FAILED', 'unknown-version']);
    });

    it('below the watermark is a duplicate, for its row was removed after its end', async () => {
      const { placed, claimOf, claimOnce, sql, deliveryInWords } = open();
      const { eventId } = await placed();
      const [mark] = await sql<{ xid: string }>(`SELECT xid::text FROM watermarks WHERE consumer = 'payment'`);
      await sql(`UPDATE watermarks SET xid = (SELECT xid FROM events WHERE id = $1) WHERE consumer = 'payment'`, [
        eventId,
      ]);
      assert.deepEqual(await claimOnce(claimOf('payment', eventId)), { answer: 'duplicate' });
      assert.equal(await deliveryInWords('payment', eventId), 'no row');
      await sql(`UPDATE watermarks SET xid = $1::text::xid8 WHERE consumer = 'payment'`, [mark?.xid]);
      assert.equal((await claimOnce(claimOf('payment', eventId))).answer, 'run');
    });

    it('travels with claims of other orders, but two of one order do not share a flush', async () => {
      const { placed, paid, claim, claimOf, doneWith, claimed, settleOnce, factOf, deliveryInWords } = open();
      const { order, eventId } = await placed();
      const other = await paid();
      await settleOnce(doneWith(await claimed('payment', eventId), declined));
      const [failed, canceled] = [await factOf(order.id, 'PaymentFailedV1'), await factOf(order.id, 'OrderCanceledV1')];
      const requests = [
        claimOf('notification', failed),
        claimOf('notification', canceled),
        claimOf('fulfillment', other.eventId),
        claimOf('notification', failed),
      ];
      assert.deepEqual(answersOf(await claim(requests)), ['run', 'locked', 'run', 'locked']);
      assert.equal(await deliveryInWords('notification', canceled), 'no row');
      assert.deepEqual(answersOf(await claim(requests.slice(1, 2))), ['obsolete']);
    });
  });
}
