// What every database promises about jobs that are polled for: due work, oldest first, claimed by the poll.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { unknownVersionPatienceMs } from '../../src/engine/admit.ts';
import type { Sought } from '../../src/engine/ports.ts';
import { createDependencies } from '../../src/io/postgres/dependencies.ts';
import { authorized, type Store, troubleOf } from '../support/store.ts';

const dayMs = 86_400_000;

export function jobsContract(open: () => Store): void {
  const poll = async (limit = 100, sought: Sought = 'due') => {
    const { jobs, stepOf } = open();
    const { answers, nextDueInMs } = await jobs.claimDue(stepOf('payment'), limit, sought);
    const works = answers.flatMap((answer) => (answer.answer === 'run' ? [answer.work] : []));
    return { answers, works, subjects: works.map(({ event }) => event.subject), nextDueInMs };
  };
  // Nothing that other tests left is due.
  const clear = async () => {
    await open().sql('DELETE FROM jobs');
    await open().sql('DELETE FROM dependencies');
  };
  const dueAgo = (eventId: string, agoMs: number) => {
    const { subject, version } = open().keyOfEvent(eventId);
    return open().sql(
      `UPDATE jobs SET due_at = clock_timestamp() - $3::float8 * interval '1 millisecond' WHERE order_id = $1 AND version = $2`,
      [subject, version, agoMs],
    );
  };
  const agedBy = (eventId: string, ageMs: number) => {
    const { subject, version } = open().keyOfEvent(eventId);
    return open().sql(
      `UPDATE jobs SET created_at = clock_timestamp() - $3::float8 * interval '1 millisecond' WHERE order_id = $1 AND version = $2`,
      [subject, version, ageMs],
    );
  };

  describe('a look for due jobs', () => {
    it('names the consumers that have a new job, a retry or an ended lease that is due, and no other', async () => {
      const { placed, claimed, waitingFor, settleOnce, makeDue, jobs, stepOf } = open();
      const steps = ['payment', 'fulfillment', 'notification'].map((consumer) => stepOf(consumer as 'payment'));
      const due = () => jobs.findDue(steps);
      await clear();
      assert.deepEqual(await due(), []);
      const { eventId } = await placed();
      assert.deepEqual(await due(), ['payment']);
      const work = await claimed('payment', eventId);
      assert.deepEqual(await due(), [], 'it is held');
      await makeDue('payment', eventId);
      assert.deepEqual(await due(), ['payment'], 'its lease is over');
      await settleOnce(waitingFor(work, 60_000, true));
      assert.deepEqual(await due(), [], 'it waits');
      await makeDue('payment', eventId);
      assert.deepEqual(await due(), ['payment'], 'it is due again');
      assert.deepEqual(
        await jobs.findDue([{ consumer: 'payment', types: ['OrderCreatedV9'] }]),
        [],
        'of no known type',
      );
    });

    it('looks behind what the last poll has seen, as the poll does', async () => {
      const { placed, jobs, stepOf } = open();
      await clear();
      await placed();
      await jobs.claimDue(stepOf('payment'), 10, 'due');
      await placed();
      assert.deepEqual(await jobs.findDue([stepOf('payment')]), ['payment']);
    });
  });

  describe('a poll for due jobs', () => {
    it('claims new jobs, retries and ended leases, the longest due first, and nothing else', async () => {
      const { placed, claimed, waitingFor, settleOnce, makeDue, jobInWords } = open();
      await clear();
      const names = ['new', 'retry', 'over', 'later', 'held'] as const;
      const orders = Object.fromEntries(
        await Promise.all(names.map(async (name) => [name, await placed()] as const)),
      ) as Record<(typeof names)[number], Awaited<ReturnType<typeof placed>>>;
      await settleOnce(waitingFor(await claimed('payment', orders.retry.eventId), 60_000, true));
      await claimed('payment', orders.over.eventId);
      await settleOnce(waitingFor(await claimed('payment', orders.later.eventId), 60_000, true));
      await claimed('payment', orders.held.eventId);
      await makeDue('payment', orders.over.eventId);
      await dueAgo(orders.over.eventId, 3_000);
      await dueAgo(orders.retry.eventId, 2_000);
      await dueAgo(orders.new.eventId, 1_000);
      const { subjects } = await poll();
      assert.deepEqual(
        subjects,
        [orders.over, orders.retry, orders.new].map(({ order }) => order.id),
      );
      const words = await Promise.all(names.map((name) => jobInWords('payment', orders[name].eventId)));
      assert.deepEqual(words, ['claimed 1/0', 'claimed 2/0', 'claimed 1/1', 'waits 1/0', 'claimed 1/0']);
    });

    it('claims no more than it is told to, and says when the next one is due once it has seen the end', async () => {
      const { placed, claimed, waitingFor, settleOnce } = open();
      await clear();
      const later = await placed();
      await settleOnce(waitingFor(await claimed('payment', later.eventId), 60_000, true));
      for (let nth = 0; nth < 3; nth += 1) await placed();
      const first = await poll(2);
      assert.deepEqual([first.works.length, first.nextDueInMs], [2, undefined]);
      const rest = await poll(2);
      assert.equal(rest.works.length, 1);
      assert.ok(rest.nextDueInMs && rest.nextDueInMs > 50_000 && rest.nextDueInMs <= 60_000, `${rest.nextDueInMs}`);
      await clear();
      assert.equal((await poll()).nextDueInMs, null);
    });

    it('leaves a version of an event that its consumer does not read, and takes it after an hour to end it', async () => {
      const { placed, sql } = open();
      await clear();
      const { order, eventId } = await placed();
      await sql(`UPDATE jobs SET event_type = 'OrderCreatedV9' WHERE order_id = $1`, [order.id]);
      await sql(`UPDATE events SET type = 'OrderCreatedV9' WHERE order_id = $1`, [order.id]);
      await agedBy(eventId, unknownVersionPatienceMs - 60_000);
      // Not even picked: it would be in the way of what its consumer reads.
      assert.deepEqual((await poll()).answers, []);
      assert.deepEqual((await poll(10, 'unknown-version')).answers, []);
      await agedBy(eventId, unknownVersionPatienceMs + 1_000);
      assert.deepEqual((await poll()).answers, []);
      const { works } = await poll(10, 'unknown-version');
      assert.deepEqual(
        works.map(({ exhausted }) => exhausted?.code),
        ['unknown-version'],
      );
    });

    it('ends what has waited too long since it is there and its dependency is down, whichever is later', async () => {
      const { placed, database, sql } = open();
      await clear();
      const [old, young] = [await placed(), await placed()];
      await agedBy(old.eventId, 3 * dayMs);
      await agedBy(young.eventId, 60_000);
      const tooLong = async () => (await poll(10, 'waited-too-long')).works.map(({ exhausted }) => exhausted?.code);
      assert.deepEqual(await tooLong(), [], 'no dependency is down');
      const dependencies = createDependencies(database);
      await dependencies.down('carrier');
      await sql(`UPDATE dependencies SET down_since = down_since - interval '2 days'`);
      assert.deepEqual(await tooLong(), [], 'another one is');
      await dependencies.down('payments');
      await dependencies.down('payments');
      assert.deepEqual(await tooLong(), [], 'not for long');
      await sql(`UPDATE dependencies SET down_since = down_since - interval '2 days'`);
      await dependencies.down('payments');
      assert.deepEqual(await tooLong(), ['waited-too-long']);
      await dependencies.up('payments');
      await dependencies.up('payments');
      assert.deepEqual(await sql('SELECT name FROM dependencies'), [{ name: 'carrier' }]);
    });

    it('claims a job whose writer was slow to commit, though younger ones were claimed before it', async () => {
      const { placed } = open();
      await clear();
      await placed();
      assert.equal((await poll()).works.length, 1);
      const slow = await placed();
      await dueAgo(slow.eventId, 30_000);
      assert.deepEqual((await poll()).subjects, [slow.order.id]);
    });

    it('ends what nobody needs any more, and what has two jobs gets the second by the next poll', async () => {
      const { placed, desk, jobInWords, sql } = open();
      await clear();
      const [canceled, twice] = [await placed(), await placed()];
      await desk.cancel(canceled.order.id, null, 'c-2');
      await sql(
        `INSERT INTO events (id, order_id, version, type, data, correlation_id, time)
         SELECT gen_random_uuid(), order_id, 2, type, data, correlation_id, time FROM events WHERE order_id = $1`,
        [twice.order.id],
      );
      await sql(
        `INSERT INTO jobs (order_id, version, consumer, event_type) SELECT order_id, 2, consumer, event_type FROM jobs
         WHERE order_id = $1`,
        [twice.order.id],
      );
      const first = await poll();
      assert.deepEqual(
        first.answers.map(({ answer }) => answer),
        ['obsolete', 'run'],
      );
      assert.equal(first.nextDueInMs, undefined);
      assert.equal((await poll()).works.length, 1);
      assert.equal(await jobInWords('payment', canceled.eventId), 'no job');
    });
  });

  describe('a dead letter that is sent back', () => {
    it('is a job again, in a new epoch and with all attempts, and a worker that froze before writes nothing', async () => {
      const { placed, claimed, deadBy, doneWith, settleOnce, desk, job, makeDue, sql } = open();
      await clear();
      const { order, eventId } = await placed();
      const frozen = await claimed('payment', eventId);
      await makeDue('payment', eventId);
      await settleOnce(deadBy(await claimed('payment', eventId), troubleOf()));
      assert.equal(await job('payment', eventId), null);
      await desk.reprocess(order.id, 'c-2');
      const again = await job('payment', eventId);
      assert.deepEqual([again?.epoch, again?.attempt, again?.takeovers, again?.token], [1, 0, 0, null]);
      assert.equal(await settleOnce(doneWith(frozen, authorized)), 'gone');
      const work = await claimed('payment', eventId);
      assert.equal(await settleOnce(doneWith(frozen, authorized)), 'stale');
      assert.deepEqual([work.epoch, work.attempt], [1, 1]);
      assert.deepEqual(
        await sql('SELECT type FROM events WHERE order_id = $1 ORDER BY version', [order.id]),
        ['OrderCreatedV1', 'OrderFailedV1', 'OrderReprocessedV1'].map((type) => ({ type })),
      );
    });
  });
}
