// What every database promises about claims: the durable write before any work.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { takeoversMax } from '../../src/engine/admit.ts';
import { endAllLeases } from '../../src/io/postgres/leases.ts';
import { answersOf, authorized, declined, type Store, troubleOf } from '../support/store.ts';

export function claimContract(open: () => Store): void {
  describe('a claim', () => {
    it('of a new event gets the work, the lease and the intent, and the order is taken up', async () => {
      const { placed, claimOf, claimOnce, job, effect, order, eventsOf } = open();
      const { order: before, eventId } = await placed();
      const request = claimOf('payment', eventId);
      const answer = await claimOnce(request);
      assert.ok(answer.answer === 'run');
      const { work } = answer;
      assert.deepEqual([work.attempt, work.epoch, work.exhausted, work.token], [1, 0, null, request.token]);
      const [row, intent, after] = [
        await job('payment', eventId),
        await effect(before.id, 'authorization'),
        await order(before.id),
      ];
      assert.deepEqual([row?.token !== null, row?.attempt, row?.takeovers, row?.token], [true, 1, 0, request.token]);
      assert.deepEqual(intent, { state: 'intent', token: request.token });
      assert.deepEqual([after.status, after.payment, after.version], ['PROCESSING', 'pending', 1]);
      assert.deepEqual(work.subject.order, after);
      assert.equal(work.subject.effects.authorization?.generation, 0);
      assert.deepEqual(await eventsOf(before.id), ['OrderCreatedV1']);
    });

    it('takes the event from the database, and writes nothing for one that somebody made up', async () => {
      const { placed, claimOf, claimOnce, system, rowsOf } = open();
      const { order, eventId } = await placed();
      const answer = await claimOnce(claimOf('payment', eventId));
      assert.ok(answer.answer === 'run');
      const { id, type, subject, version, data } = answer.work.event;
      assert.deepEqual(
        [id, type, subject, version, data.amount],
        [eventId, 'OrderCreatedV1', order.id, 1, order.amount],
      );
      const forged = { ...claimOf('payment', eventId), subject: system.newId() };
      assert.deepEqual(await claimOnce(forged), { answer: 'gone' });
      assert.deepEqual(await claimOnce({ ...forged, subject: order.id, version: 7 }), { answer: 'gone' });
      assert.equal((await rowsOf(order.id)).jobs, 1);
    });

    it('while another worker holds the lease is busy, and changes nothing', async () => {
      const { placed, claimed, claimOf, claimOnce, job } = open();
      const { eventId } = await placed();
      await claimed('payment', eventId);
      const before = await job('payment', eventId);
      assert.deepEqual(await claimOnce(claimOf('payment', eventId)), { answer: 'busy' });
      assert.deepEqual(await job('payment', eventId), before);
    });

    it('of work that has ended finds no job, however it ended', async () => {
      const { placed, claimed, claimOf, claimOnce, doneWith, deadBy, settleOnce, desk, jobInWords } = open();
      const ended = async (end: 'done' | 'dead' | 'skipped') => {
        const { order, eventId } = await placed();
        if (end === 'skipped') {
          await desk.cancel(order.id, null, 'c-2');
          assert.deepEqual(await claimOnce(claimOf('payment', eventId)), { answer: 'obsolete' });
        } else {
          const work = await claimed('payment', eventId);
          await settleOnce(end === 'done' ? doneWith(work, authorized) : deadBy(work, troubleOf()));
        }
        assert.equal(await jobInWords('payment', eventId), 'no job');
        return claimOnce(claimOf('payment', eventId));
      };
      for (const end of ['done', 'dead', 'skipped'] as const)
        assert.deepEqual(await ended(end), { answer: 'gone' }, end);
    });

    it('of a retry that is not due yet is told to wait; when it is due it runs, and is charged', async () => {
      const { placed, claimed, claimOf, claimOnce, waitingFor, settleOnce, makeDue, jobInWords } = open();
      const { eventId } = await placed();
      await settleOnce(waitingFor(await claimed('payment', eventId), 60_000, true));
      assert.deepEqual(await claimOnce(claimOf('payment', eventId)), { answer: 'not-due' });
      assert.equal(await jobInWords('payment', eventId), 'waits 1/0');
      await makeDue('payment', eventId);
      assert.equal((await claimed('payment', eventId)).attempt, 2);
      assert.equal(await jobInWords('payment', eventId), 'claimed 2/0');
    });

    it('of work that nobody needs any more is obsolete, and ends it', async () => {
      const { placed, claimOf, claimOnce, desk, jobInWords, effect } = open();
      const { order, eventId } = await placed();
      await desk.cancel(order.id, null, 'c-2');
      assert.deepEqual(await claimOnce(claimOf('payment', eventId)), { answer: 'obsolete' });
      assert.equal(await jobInWords('payment', eventId), 'no job');
      assert.equal(await effect(order.id, 'authorization'), null);
    });

    it('for an event that its consumer has no job for leaves no trace', async () => {
      const { placed, claimOf, claimOnce, jobInWords } = open();
      const { eventId } = await placed();
      assert.deepEqual(await claimOnce(claimOf('fulfillment', eventId)), { answer: 'gone' });
      assert.equal(await jobInWords('fulfillment', eventId), 'no job');
    });

    it('that runs again under its own token gets the same work, and writes nothing twice', async () => {
      const { placed, claimOf, claimOnce, job, rowsOf, order } = open();
      const { order: before, eventId } = await placed();
      const request = claimOf('payment', eventId);
      const first = await claimOnce(request);
      const [row, rows, taken] = [await job('payment', eventId), await rowsOf(before.id), await order(before.id)];
      const again = await claimOnce(request);
      assert.ok(first.answer === 'run' && again.answer === 'run');
      const { ageMs } = first.work;
      assert.deepEqual({ ...again.work, ageMs }, first.work);
      assert.deepEqual(
        [await job('payment', eventId), await rowsOf(before.id), await order(before.id)],
        [row, rows, taken],
      );
    });

    it('after a worker has died counts a takeover, not an attempt', async () => {
      const { placed, claimed, makeDue, jobInWords, effect, rowsOf } = open();
      const { order, eventId } = await placed();
      await claimed('payment', eventId);
      await makeDue('payment', eventId);
      const work = await claimed('payment', eventId);
      assert.equal(work.attempt, 1);
      assert.equal(await jobInWords('payment', eventId), 'claimed 1/1');
      // Its call may be on the way.
      assert.deepEqual(await effect(order.id, 'authorization'), { state: 'unknown', token: work.token });
      assert.equal((await rowsOf(order.id)).attempts, 1);
    });

    it('after the only process has died is a takeover at once, of whatever it held', async () => {
      const { placed, claimed, sql, jobInWords } = open();
      const { eventId } = await placed();
      await claimed('payment', eventId);
      await endAllLeases(sql);
      await claimed('payment', eventId);
      assert.equal(await jobInWords('payment', eventId), 'claimed 1/1');
    });

    it('after five workers died on one order charges no attempt, and goes on', async () => {
      const { placed, claimed, makeDue, doneWith, settleOnce, jobInWords, order, sql } = open();
      const { order: asked, eventId } = await placed();
      for (let deaths = 1; deaths <= 5; deaths += 1) {
        await claimed('payment', eventId);
        await makeDue('payment', eventId);
      }
      assert.equal(await settleOnce(doneWith(await claimed('payment', eventId), authorized)), 'settled');
      assert.equal(await jobInWords('payment', eventId), 'no job');
      assert.equal((await order(asked.id)).retryCount, 0);
      const attempts = await sql('SELECT outcome, attempt FROM attempts WHERE order_id = $1', [asked.id]);
      assert.deepEqual(attempts, Array(5).fill({ outcome: 'takeover', attempt: 1 }));
    });

    it('for the eleventh takeover gets work that must end, and the dead letter says that workers die of it', async () => {
      const { placed, claimed, makeDue, deadBy, settleOnce, jobInWords, order } = open();
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
      assert.equal(await jobInWords('payment', eventId), 'no job');
      assert.deepEqual((await order(asked.id)).reason?.code, 'worker-lost');
    });

    it('of work that waited longer than allowed gets it back to be ended, not to be done', async () => {
      const { placed, claimOf, claimOnce, waitingSince } = open();
      const { eventId } = await placed();
      await waitingSince('payment', eventId, 86_400_001);
      const answer = await claimOnce(claimOf('payment', eventId));
      assert.equal(answer.answer === 'run' && answer.work.exhausted?.code, 'waited-too-long');
    });

    it('of a version from a newer release leaves the job to that release, for an hour, then ends it', async () => {
      const { placed, claimOf, claimOnce, deadBy, settleOnce, jobInWords, order, sql } = open();
      const { order: asked, eventId } = await placed();
      const typed = (type: string) => sql('UPDATE events SET type = $2 WHERE id = $1', [eventId, type]);
      await typed('OrderCreatedV2');
      assert.deepEqual(await claimOnce(claimOf('payment', eventId)), { answer: 'not-due' });
      assert.equal(await jobInWords('payment', eventId), 'waits 0/0');
      await sql(`UPDATE jobs SET created_at = created_at - interval '3601 s' WHERE order_id = $1`, [asked.id]);
      const answer = await claimOnce(claimOf('payment', eventId));
      assert.ok(answer.answer === 'run' && answer.work.exhausted?.code === 'unknown-version');
      await settleOnce(deadBy(answer.work, answer.work.exhausted));
      const { status, reason } = await order(asked.id);
      assert.deepEqual([status, reason?.code], ['FAILED', 'unknown-version']);
      await typed('OrderCreatedV1');
    });

    it('travels with claims of other orders, but two of one order do not share a flush', async () => {
      const { placed, paid, claim, claimOf, doneWith, claimed, settleOnce, eventOf, jobInWords } = open();
      const { order, eventId } = await placed();
      const other = await paid();
      await settleOnce(doneWith(await claimed('payment', eventId), declined));
      const [failed, canceled] = [
        await eventOf(order.id, 'PaymentFailedV1'),
        await eventOf(order.id, 'OrderCanceledV1'),
      ];
      const requests = [
        claimOf('notification', failed),
        claimOf('notification', canceled),
        claimOf('fulfillment', other.eventId),
        claimOf('notification', failed),
      ];
      assert.deepEqual(answersOf(await claim(requests)), ['run', 'locked', 'run', 'locked']);
      assert.equal(await jobInWords('notification', canceled), 'waits 0/0');
      assert.deepEqual(answersOf(await claim(requests.slice(1, 2))), ['obsolete']);
      assert.equal(await jobInWords('notification', canceled), 'no job');
    });
  });
}
