// What every database promises about the event log and its cursors: positions, reads, guarded stores, dead letters.

import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import { isRefusal } from '../../src/domain/refusals.ts';
import type { CursorDeadLetter, LoggedEvent } from '../../src/engine/event-log.ts';
import { pass } from '../../src/engine/gaps.ts';
import { carryAlong, toSpans, toText } from '../../src/io/postgres/cursors.ts';
import { authorized, declined, type Store, troubleOf } from '../support/store.ts';

export function cursorContract(open: () => Store): void {
  const lastPosition = async () => {
    const rows = await open().sql<{ last: number }>('SELECT coalesce(max(position), 0) AS last FROM events');
    return rows[0]?.last ?? 0;
  };
  const rowOf = async (reader: string) => {
    const rows = await open().sql<{ read_to: number; gaps: string; token: string | null }>(
      'SELECT read_to, gaps::text AS gaps, token FROM cursors WHERE reader = $1',
      [reader],
    );
    assert.ok(rows[0]);
    return rows[0];
  };
  const put = (reader: string, readTo: number, gaps = '{}') =>
    open().sql(
      `UPDATE cursors SET read_to = $2, gaps = $3::int8multirange, token = NULL, lease_until = '-infinity' WHERE reader = $1`,
      [reader, readTo, gaps],
    );
  const deadLetterOf = ({ event }: LoggedEvent, consumer: string): CursorDeadLetter => ({
    ...{ consumer, event },
    trouble: troubleOf({ class: 'non-retryable', code: 'refused' }),
  });
  const openDeadLetters = (orderId: string) =>
    open().sql<{ id: string; consumer: string; code: string }>(
      'SELECT id, consumer, code FROM dead_letters WHERE order_id = $1 AND closed_at IS NULL',
      [orderId],
    );

  describe('the event log', () => {
    it("gives an order's events rising positions, several of one transaction included", async () => {
      const { placed, claimed, doneWith, settleOnce, sql } = open();
      const { order, eventId } = await placed();
      await settleOnce(doneWith(await claimed('payment', eventId), declined));
      const rows = await sql<{ position: number }>('SELECT position FROM events WHERE order_id = $1 ORDER BY version', [
        order.id,
      ]);
      const positions = rows.map(({ position }) => position);
      assert.equal(positions.length, 3);
      assert.deepEqual(
        positions,
        [...positions].sort((one, other) => one - other),
      );
    });

    it('is read from gaps and from behind, in one order and under one limit', async () => {
      const { cursors, placed, claimed, doneWith, settleOnce } = open();
      const from = await lastPosition();
      const first = await placed();
      await placed();
      await settleOnce(doneWith(await claimed('payment', first.eventId), authorized));
      const all = (await cursors.read({ readTo: from, gaps: [] }, 100)).events;
      assert.deepEqual(
        all.map(({ event }) => event.type),
        ['OrderCreatedV1', 'OrderCreatedV1', 'PaymentAuthorizedV1'],
      );
      const [one, two, three] = all.map(({ position }) => position) as [number, number, number];
      const positions = async (readTo: number, gaps: readonly (readonly [number, number])[], limit: number) => {
        const at = { readTo, gaps: gaps.map(([low, high]) => ({ from: low, to: high })) };
        return (await cursors.read(at, limit)).events.map(({ position }) => position);
      };
      assert.deepEqual(await positions(two, [[one, one]], 100), [one, three]);
      assert.deepEqual(await positions(three, [[one, two]], 1), [one]);
      assert.deepEqual(await positions(three, [], 100), []);
      const { event, ageMs } = all[0] as LoggedEvent;
      assert.deepEqual([event.id, event.subject, event.version], [first.eventId, first.order.id, 1]);
      assert.ok(ageMs < 60_000);
    });
  });

  describe('a cursor', () => {
    beforeEach(async () => {
      for (const reader of ['relay', 'analytics', 'search.postgres']) await put(reader, await lastPosition());
    });

    it('is lent to one reader until it gives it back or its lease is over', async () => {
      const { cursors, system, sql } = open();
      const [one, other] = [system.newToken(), system.newToken()];
      const at = { readTo: await lastPosition(), gaps: [] };
      assert.deepEqual(await cursors.hold('relay', one, 60_000), at);
      assert.deepEqual(await cursors.hold('relay', one, 60_000), at);
      assert.equal(await cursors.hold('relay', other, 60_000), null);
      await cursors.release('relay', other);
      assert.equal(await cursors.hold('relay', other, 60_000), null, 'who holds nothing can give nothing back');
      await cursors.release('relay', one);
      assert.deepEqual(await cursors.hold('relay', other, 60_000), at);
      await sql(`UPDATE cursors SET lease_until = clock_timestamp() WHERE reader = 'relay'`);
      assert.deepEqual(await cursors.hold('relay', one, 60_000), at);
      assert.deepEqual((await rowOf('relay')).token, one);
    });

    it('moves only by the token that holds it, and only from what its reader has read', async () => {
      const { cursors, system } = open();
      const [token, stranger] = [system.newToken(), system.newToken()];
      const from = await cursors.hold('relay', token, 60_000);
      assert.ok(from);
      const to = pass(from, [from.readTo + 3]);
      const move = { reader: 'relay', from, to, deadLetters: [] };
      assert.equal(await cursors.store({ ...move, token: stranger }), null);
      assert.equal(await cursors.store({ ...move, token, from: to }), null, 'from another place');
      const other = { ...from, gaps: [{ from: 1, to: 1 }] };
      assert.equal(await cursors.store({ ...move, token, from: other }), null, 'from other gaps');
      const xact = await cursors.store({ ...move, token });
      assert.ok(xact !== null);
      assert.equal(await cursors.store({ ...move, token }), null, 'a second time');
      const { read_to: readTo, gaps } = await rowOf('relay');
      assert.deepEqual({ readTo, gaps: toSpans(gaps) }, to);
      assert.ok((await cursors.read(to, 1)).xmin > xact, 'the id is older than what looks later');
    });

    it('is stored with the dead letters or not at all; an event has one open dead letter', async () => {
      const { cursors, system, placed } = open();
      const token = system.newToken();
      const from = await cursors.hold('search.postgres', token, 60_000);
      assert.ok(from);
      const { order } = await placed();
      const { events } = await cursors.read(from, 10);
      const to = pass(from, [events[0]?.position ?? 0]);
      const deadLetters = [deadLetterOf(events[0] as LoggedEvent, 'search')];
      assert.equal(await cursors.store({ reader: 'search.postgres', token, from: to, to, deadLetters }), null);
      assert.deepEqual(await openDeadLetters(order.id), []);
      for (const [at, next] of [[from, to] as const, [to, to] as const]) {
        assert.ok(await cursors.store({ reader: 'search.postgres', token, from: at, to: next, deadLetters }));
      }
      const words = (await openDeadLetters(order.id)).map(({ consumer, code }) => `${consumer} ${code}`);
      assert.deepEqual(words, ['search refused']);
    });

    it('moves in one transaction with what its reader writes', async () => {
      const { cursors, placed, sql } = open();
      const { order } = await placed();
      const touch = `UPDATE orders SET traceparent = $2 WHERE id = $1`;
      const round = (fails: boolean) =>
        cursors.locked('analytics', async ({ transaction, state, read, store }) => {
          const { events } = await read(10);
          await transaction(touch, [order.id, `seen ${events.length}`]);
          await store(pass(state, [events.at(-1)?.position ?? 0]), []);
          if (fails) throw new Error('the reader dies');
          return events.length;
        });
      const before = await rowOf('analytics');
      await assert.rejects(round(true), /dies/);
      assert.deepEqual(await rowOf('analytics'), before);
      assert.equal(await round(false), 1);
      const [row] = await sql<{ traceparent: string }>('SELECT traceparent FROM orders WHERE id = $1', [order.id]);
      assert.deepEqual([row?.traceparent, (await rowOf('analytics')).read_to], ['seen 1', await lastPosition()]);
    });

    it('gets the event of a dead letter back that a person sends back', async () => {
      const { cursors, desk, placed } = open();
      const { order } = await placed();
      const position = await lastPosition();
      await cursors.locked('analytics', async ({ state, read, store }) => {
        const { events } = await read(10);
        await store(pass(state, [position]), [deadLetterOf(events[0] as LoggedEvent, 'analytics')]);
      });
      const [deadLetter] = await openDeadLetters(order.id);
      assert.ok(deadLetter && !isRefusal(await desk.reprocessDeadLetter(deadLetter.id, 'c-1')));
      assert.deepEqual((await rowOf('analytics')).gaps, toText([{ from: position, to: position }]));
      assert.deepEqual(
        await open().sql(`SELECT FROM jobs WHERE consumer = 'analytics'`),
        [],
        'nobody would do its job',
      );
      const again = await cursors.locked('analytics', async ({ read }) => (await read(10)).events.length);
      assert.equal(again, 1);
    });

    it('that nobody reads is carried to the end of the log, and one that is read is left alone', async () => {
      const { cursors, system, sql, placed } = open();
      const token = system.newToken();
      const at = await cursors.hold('relay', token, 60_000);
      await placed();
      await carryAlong(sql, 'relay');
      assert.deepEqual((await rowOf('relay')).read_to, at?.readTo);
      await cursors.release('relay', token);
      await carryAlong(sql, 'relay');
      assert.deepEqual((await rowOf('relay')).read_to, await lastPosition());
    });

    it('that has not come to an event yet needs no gap for it', async () => {
      const { cursors, desk, placed } = open();
      const { order } = await placed();
      const [event] = (await cursors.read({ readTo: (await lastPosition()) - 1, gaps: [] }, 1)).events;
      await cursors.locked('analytics', async ({ state, store }) =>
        store(state, [deadLetterOf(event as LoggedEvent, 'analytics')]),
      );
      const [deadLetter] = await openDeadLetters(order.id);
      assert.ok(deadLetter && !isRefusal(await desk.reprocessDeadLetter(deadLetter.id, 'c-1')));
      assert.equal((await rowOf('analytics')).gaps, '{}');
    });
  });
}
