// What every database promises about settles: the end of an attempt with everything that follows from it.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Order } from '../../src/domain/order.ts';
import { isRefusal } from '../../src/domain/refusals.ts';
import { createGroupCommit } from '../../src/engine/group-commit.ts';
import type { SettleAnswer, SettleRequest } from '../../src/engine/ports.ts';
import { failureOf } from '../../src/io/postgres/errors.ts';
import { answersOf, authorized, booked, declined, type Store, troubleOf } from '../support/store.ts';

export function settleContract(open: () => Store): void {
  const canceled = async ({ desk }: Store, id: Order['id']) => {
    const order = await desk.cancel(id, null, 'c-2');
    assert.ok(!isRefusal(order) && order.status === 'CANCELED');
  };

  describe('a settle', () => {
    it('ends the job, and writes order, effect, events and their jobs together, caused by the event it answers to', async () => {
      const { placed, claimed, doneWith, settleOnce, order, effect, jobInWords, sql } = open();
      const { order: asked, eventId } = await placed();
      assert.equal(await settleOnce(doneWith(await claimed('payment', eventId), authorized)), 'settled');
      const after = await order(asked.id);
      assert.deepEqual(
        [after.status, after.payment, after.fulfillment, after.version],
        ['PROCESSING', 'authorized', 'pending', 2],
      );
      assert.equal((await effect(asked.id, 'authorization'))?.state, 'done');
      assert.equal(await jobInWords('payment', eventId), 'no job');
      const [event] = await sql(
        `SELECT e.type, e.version, e.causation_id, e.correlation_id, e.attempt, e.duration_ms, j.consumer
         FROM events e JOIN jobs j USING (order_id, version) WHERE e.order_id = $1 AND e.version = 2`,
        [asked.id],
      );
      const expected = { type: 'PaymentAuthorizedV1', version: 2, causation_id: eventId, correlation_id: 'c-1' };
      assert.deepEqual(event, { ...expected, attempt: 1, duration_ms: 1, consumer: 'fulfillment' });
    });

    it('chains several events: each is caused by the one before', async () => {
      const { placed, claimed, doneWith, settleOnce, eventOf, sql } = open();
      const { order, eventId } = await placed();
      await settleOnce(doneWith(await claimed('payment', eventId), declined));
      const rows = await sql('SELECT type, version, causation_id FROM events WHERE order_id = $1 ORDER BY version', [
        order.id,
      ]);
      assert.deepEqual(rows.slice(1), [
        { type: 'PaymentFailedV1', version: 2, causation_id: eventId },
        { type: 'OrderCanceledV1', version: 3, causation_id: await eventOf(order.id, 'PaymentFailedV1') },
      ]);
    });

    it('with a token that is not the job’s any more is stale, and writes nothing', async () => {
      const { placed, claimed, makeDue, doneWith, settleOnce, rowsOf, order, job } = open();
      const { order: asked, eventId } = await placed();
      const frozen = await claimed('payment', eventId);
      await makeDue('payment', eventId);
      const successor = await claimed('payment', eventId);
      const state = async () => [await rowsOf(asked.id), await order(asked.id), await job('payment', eventId)];
      const before = await state();
      assert.equal(await settleOnce(doneWith(frozen, declined)), 'stale');
      assert.deepEqual(await state(), before);
      assert.equal(await settleOnce(doneWith(successor, authorized)), 'settled');
      const after = await state();
      assert.equal(await settleOnce(doneWith(frozen, declined)), 'gone');
      assert.deepEqual(await state(), after);
    });

    it('after the end of its lease still counts while nobody has taken over', async () => {
      const { placed, claimed, makeDue, doneWith, settleOnce, jobInWords } = open();
      const { eventId } = await placed();
      const work = await claimed('payment', eventId);
      await makeDue('payment', eventId);
      assert.equal(await settleOnce(doneWith(work, authorized)), 'settled');
      assert.equal(await jobInWords('payment', eventId), 'no job');
    });

    it('that is repeated finds its job gone or waiting, and writes nothing twice', async () => {
      const { placed, claimed, doneWith, waitingFor, deadBy, settleOnce, rowsOf, order, job } = open();
      for (const end of ['done', 'waiting', 'dead'] as const) {
        const { order: asked, eventId } = await placed();
        const work = await claimed('payment', eventId);
        const settles = {
          done: doneWith(work, authorized),
          waiting: waitingFor(work, 60_000, true),
          dead: deadBy(work, troubleOf()),
        };
        const state = async () => [await rowsOf(asked.id), await order(asked.id), await job('payment', eventId)];
        assert.equal(await settleOnce(settles[end]), 'settled');
        const before = await state();
        assert.equal(await settleOnce(settles[end]), 'gone');
        assert.deepEqual(await state(), before, end);
      }
    });

    it('is decided on the order as it stands: a cancel that came meanwhile is seen', async () => {
      const store = open();
      const { placed, claimed, doneWith, settleOnce, eventsOf, order, effect } = store;
      const { order: asked, eventId } = await placed();
      const work = await claimed('payment', eventId);
      await canceled(store, asked.id);
      assert.equal(await settleOnce(doneWith(work, authorized)), 'settled');
      const { status, payment, fulfillment } = await order(asked.id);
      assert.deepEqual([status, payment, fulfillment], ['CANCELED', 'authorized', 'none']);
      assert.deepEqual(await eventsOf(asked.id), ['OrderCreatedV1', 'OrderCanceledV1', 'PaymentAuthorizedV1']);
      assert.equal((await effect(asked.id, 'authorization'))?.state, 'done');
    });

    it('of a do whose effect an undo has taken changes nothing but its own job', async () => {
      const store = open();
      const { placed, claimed, doneWith, waitingFor, deadBy, settleOnce, eventOf, order, effect, jobInWords } = store;
      for (const end of ['done', 'waiting', 'dead'] as const) {
        const { order: asked, eventId } = await placed();
        const work = await claimed('payment', eventId);
        await canceled(store, asked.id);
        const undo = await claimed('compensation', await eventOf(asked.id, 'OrderCanceledV1'));
        const before = [await order(asked.id), await effect(asked.id, 'authorization')];
        const settles = {
          done: doneWith(work, authorized),
          waiting: waitingFor(work, 1, true),
          dead: deadBy(work, troubleOf()),
        };
        assert.equal(await settleOnce(settles[end]), 'settled');
        assert.deepEqual([await order(asked.id), await effect(asked.id, 'authorization')], before, end);
        assert.equal(await jobInWords('payment', eventId), 'no job', end);
        const undone = { recall: null, voiding: { outcome: 'voided', authorizationId: 'auth-1' } };
        assert.equal(await settleOnce(doneWith(undo, undone)), 'settled');
        assert.equal((await order(asked.id)).payment, 'voided');
      }
    });

    it('that waits is due when it says, charged or not, by the database’s clock', async () => {
      const { placed, claimed, waitingFor, settleOnce, jobInWords, job, order, sql } = open();
      const due = async (charged: boolean) => {
        const { order: asked, eventId } = await placed();
        await settleOnce(waitingFor(await claimed('payment', eventId), 3_600_000, charged));
        const [row] = await sql<{ is_right: boolean }>(
          `SELECT due_at BETWEEN clock_timestamp() + interval '59 minutes' AND clock_timestamp() + interval '1 hour'
             AS is_right FROM jobs WHERE order_id = $1`,
          [asked.id],
        );
        const { waiting_since } = (await job('payment', eventId)) ?? {};
        const { retryCount } = await order(asked.id);
        return [row?.is_right, await jobInWords('payment', eventId), waiting_since !== null, retryCount];
      };
      assert.deepEqual(await due(true), [true, 'waits 1/0', false, 1]);
      assert.deepEqual(await due(false), [true, 'waits 0/0', true, 0]);
    });

    it('that waits uncharged gives its attempt back, however often', async () => {
      const { placed, claimed, makeDue, waitingFor, settleOnce, jobInWords, order } = open();
      const { order: asked, eventId } = await placed();
      for (let waits = 0; waits < 5; waits += 1) {
        const work = await claimed('payment', eventId);
        assert.equal(work.attempt, 1);
        await settleOnce(waitingFor(work, 0, false));
        await makeDue('payment', eventId);
      }
      assert.equal(await jobInWords('payment', eventId), 'waits 0/0');
      assert.equal((await order(asked.id)).retryCount, 0);
    });

    it('keeps for how long it has been waiting uncharged, until an attempt is charged', async () => {
      const { placed, claimed, makeDue, waitingSince, waitingFor, settleOnce, job } = open();
      const { eventId } = await placed();
      await settleOnce(waitingFor(await claimed('payment', eventId), 0, false));
      await waitingSince('payment', eventId, 500_000);
      const since = (await job('payment', eventId))?.waiting_since;
      await makeDue('payment', eventId);
      const work = await claimed('payment', eventId);
      assert.ok(work.waitedMs >= 500_000 && work.waitedMs < 600_000, `${work.waitedMs}`);
      await settleOnce(waitingFor(work, 0, false));
      assert.deepEqual((await job('payment', eventId))?.waiting_since, since);
      await makeDue('payment', eventId);
      await settleOnce(waitingFor(await claimed('payment', eventId), 0, true));
      assert.equal((await job('payment', eventId))?.waiting_since, null);
    });

    it('of the last attempt of a core step writes dead letter, FAILED and its event at once', async () => {
      const { placed, claimed, deadBy, settleOnce, order, eventsOf, sql, rowsOf, jobInWords } = open();
      const { order: asked, eventId } = await placed();
      const trouble = troubleOf({ code: 'provider-unavailable', message: 'it is away' });
      await settleOnce(deadBy(await claimed('payment', eventId), trouble));
      const { status, reason, payment } = await order(asked.id);
      assert.deepEqual([status, payment, reason?.code], ['FAILED', 'none', 'provider-unavailable']);
      assert.deepEqual(await eventsOf(asked.id), ['OrderCreatedV1', 'OrderFailedV1']);
      assert.equal(await jobInWords('payment', eventId), 'no job');
      const deadLetters = await sql(
        'SELECT consumer, version, event_id, epoch, event_type, failure_class, code, attempts, closed_at FROM dead_letters WHERE order_id = $1',
        [asked.id],
      );
      assert.deepEqual(deadLetters, [
        {
          consumer: 'payment',
          version: 1,
          event_id: eventId,
          epoch: 0,
          event_type: 'OrderCreatedV1',
          failure_class: 'retryable',
          code: 'provider-unavailable',
          attempts: 1,
          closed_at: null,
        },
      ]);
      assert.equal((await rowsOf(asked.id)).attempts, 1);
    });

    it('takes any words that a partner may answer, cut down to what can be kept', async () => {
      const { placed, claimed, waitingFor, deadBy, settleOnce, makeDue, order, sql } = open();
      const { order: asked, eventId } = await placed();
      const trouble = troubleOf({ code: 'no\u0000code', message: `broken\u0000 \ud800 ${'!'.repeat(10_000)}` });
      await settleOnce(waitingFor(await claimed('payment', eventId), 0, true, trouble));
      await makeDue('payment', eventId);
      await settleOnce(deadBy(await claimed('payment', eventId), trouble));
      const { status, reason } = await order(asked.id);
      const rows = await sql<{ code: string; message: string }>(
        `SELECT code, message FROM dead_letters WHERE order_id = $1
         UNION ALL SELECT code, message FROM attempts WHERE order_id = $1`,
        [asked.id],
      );
      assert.equal(status, 'FAILED');
      for (const kept of [reason, ...rows]) {
        assert.equal(kept?.code, 'nocode');
        assert.match(kept?.message ?? '', /^broken \ufffd !{300}/);
        assert.equal(kept?.message.length, 500);
      }
      assert.equal(rows.length, 3);
    });

    it('whose dead letter cannot be written writes nothing at all', async () => {
      const { placed, claimed, deadBy, settle, settleOnce, order, rowsOf, job, sql } = open();
      const { order: asked, eventId } = await placed();
      const work = await claimed('payment', eventId);
      // An open dead letter that should not be there: the unique key refuses a second one.
      await sql(
        `INSERT INTO dead_letters (id, order_id, version, consumer, event_id, event_type, epoch, failure_class, code,
                                   message, attempts, failed_at)
         VALUES (gen_random_uuid(), $1, 1, 'payment', $2, 'OrderCreatedV1', 0, 'retryable', 'x', 'x', 1, now())`,
        [asked.id, eventId],
      );
      const state = async () => [await rowsOf(asked.id), await order(asked.id), await job('payment', eventId)];
      const before = await state();
      await assert.rejects(settle([deadBy(work, troubleOf())]), { code: '23505' });
      assert.deepEqual(await state(), before);
      await sql('DELETE FROM dead_letters WHERE order_id = $1', [asked.id]);
      assert.equal(await settleOnce(deadBy(work, troubleOf())), 'settled');
    });

    it('that finds its work obsolete deletes the job, without a dead letter', async () => {
      const store = open();
      const { placed, claimed, deadBy, settleOnce, rowsOf, jobInWords, effect } = store;
      const { order, eventId } = await placed();
      const work = await claimed('payment', eventId);
      await canceled(store, order.id);
      await settleOnce(deadBy(work, troubleOf({ class: 'unknown' })));
      assert.equal(await jobInWords('payment', eventId), 'no job');
      assert.equal((await rowsOf(order.id)).deadLetters, 0);
      // What the call may have left behind is owed to the undo, by the intent that stays.
      assert.equal((await effect(order.id, 'authorization'))?.state, 'intent');
    });

    it('travels with settles of other orders; two of one order do not share a flush', async () => {
      const store = open();
      const { paid, placed, claimed, doneWith, settle, eventOf, order } = store;
      const { order: asked, eventId } = await paid();
      const work = await claimed('fulfillment', eventId);
      const another = await placed();
      const other = await claimed('payment', another.eventId);
      await canceled(store, asked.id);
      const mail = await claimed('notification', await eventOf(asked.id, 'OrderCanceledV1'));
      const flush = [doneWith(work, booked), doneWith(mail, undefined), doneWith(other, authorized)];
      assert.deepEqual(answersOf(await settle(flush)), ['settled', 'locked', 'settled']);
      assert.deepEqual(answersOf(await settle(flush)), ['gone', 'settled', 'gone']);
      assert.equal((await order(asked.id)).fulfillment, 'scheduled');
      assert.equal((await order(another.order.id)).payment, 'authorized');
    });

    it('whose step fails on it fails alone, the others of its flush are settled', async () => {
      const { placed, claimed, doneWith, settle, jobInWords, system } = open();
      const [poisoned, sound] = [await placed(), await placed()];
      const group = createGroupCommit<SettleRequest, SettleAnswer>({
        ...{ flush: settle, failureOf, system, maxRows: 8, capacity: 8, patienceMs: 10_000 },
      });
      const poison = doneWith(await claimed('payment', poisoned.eventId), authorized);
      const other = doneWith(await claimed('payment', sound.eventId), authorized);
      const change = () => {
        throw new Error('a defect of the step');
      };
      const ends = await Promise.allSettled([
        group.add({ ...poison, ending: { ...poison.ending, change } }),
        group.add(other),
      ]);
      assert.deepEqual(
        ends.map(({ status }) => status),
        ['rejected', 'fulfilled'],
      );
      assert.equal(await jobInWords('payment', sound.eventId), 'no job');
      assert.match(await jobInWords('payment', poisoned.eventId), /^claimed/);
    });

    it('brings an order that is paid and booked to its end', async () => {
      const { paid, claimed, doneWith, settleOnce, order, eventsOf } = open();
      const { order: asked, eventId } = await paid();
      await settleOnce(doneWith(await claimed('fulfillment', eventId), booked));
      const { status, payment, fulfillment, version } = await order(asked.id);
      assert.deepEqual([status, payment, fulfillment, version], ['PROCESSED', 'authorized', 'scheduled', 3]);
      assert.deepEqual(await eventsOf(asked.id), ['OrderCreatedV1', 'PaymentAuthorizedV1', 'FulfillmentScheduledV1']);
    });
  });
}
