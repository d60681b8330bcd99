// What every database promises about the reader of analytics, shown by the analytics it keeps.

import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import type { CursorReader } from '../../src/engine/cursor.ts';
import type { Log } from '../../src/engine/ports.ts';
import { createAnalytics } from '../../src/io/postgres/analytics-reads.ts';
import { createCursors } from '../../src/io/postgres/cursors.ts';
import type { Database } from '../../src/io/postgres/database.ts';
import { createAnalyticsReader } from '../../src/main/projections.ts';
import { silentLog } from '../support/silent-log.ts';
import { authorized, booked, type Store } from '../support/store.ts';
import { until } from '../support/until.ts';

export function analyticsContract(open: () => Store): void {
  // Each test keeps analytics of its own: orders of a day that no other one has.
  let days = 0;
  const nextDay = () => {
    days += 1;
    return new Date(Date.UTC(2001, 0, days, 12));
  };
  const dayOf = (date: Date) => date.toISOString().slice(0, 10);
  const rangeOf = (date: Date) => ({ from: dayOf(date), to: dayOf(new Date(date.getTime() + 86_400_000)) });
  const statusesOf = async ({ database }: Store, date: Date) =>
    (await createAnalytics(database).statuses(rangeOf(date))).map(
      ({ status, currency, count, amount }) => `${status} ${currency} ${count} ${amount}`,
    );
  const readerOn = (store: Store, given: { log?: Log; database?: Database } = {}): CursorReader => {
    const { system } = store;
    const cursors = createCursors({ database: given.database ?? store.database, system });
    return createAnalyticsReader({ cursors, system, log: given.log ?? silentLog });
  };
  // Until nothing is left that it has not handled.
  const readAll = async (store: Store, reader = readerOn(store)) => {
    await until(async () => (await reader.runOnce()) === 0 && (await unread(store)) === 0, 'everything read');
  };
  const unread = async ({ sql }: Store): Promise<number> => {
    const [row] = await sql<{ count: number }>(
      `SELECT count(*)::integer AS count FROM cursors c JOIN events e ON e.position > c.read_to OR e.position <@ c.gaps
       WHERE c.reader = 'analytics'`,
    );
    return row?.count ?? 0;
  };
  const deadLettersOf = async ({ desk }: Store) =>
    (await desk.deadLetters({ limit: 10, after: null, consumer: 'analytics', code: null })).items;
  // An order of a day that no line can have; `mend` gives it its own back.
  const poisoned = async (store: Store, createdAt: Date) => {
    const { order, eventId } = await store.placed({ createdAt });
    const day = (text: string) => store.sql('UPDATE orders SET created_at = $2 WHERE id = $1', [order.id, text]);
    await day('12000-01-01');
    return { eventId, orderId: order.id, mend: () => day(createdAt.toISOString()) };
  };

  describe('the analytics', () => {
    // What the other tests have written may be of no release.
    before(() =>
      open().sql(
        `UPDATE cursors SET read_to = (SELECT coalesce(max(position), 0) FROM events), gaps = '{}' WHERE reader = 'analytics'`,
      ),
    );

    it('count each event once, however many readers there are, and whoever reads again', async () => {
      const store = open();
      await readAll(store);
      const createdAt = nextDay();
      const orders = await Promise.all(Array.from({ length: 20 }, () => store.placed({ createdAt })));
      const readers = Array.from({ length: 3 }, () => readerOn(store));
      await Promise.all(readers.map((reader) => readAll(store, reader)));
      assert.deepEqual(await statusesOf(store, createdAt), [`PENDING EUR ${orders.length} ${orders.length * 2_500}`]);
    });

    it('count what a reader that was stopped before its commit has not counted', async () => {
      const store = open();
      await readAll(store);
      const createdAt = nextDay();
      await store.placed({ createdAt });
      const { database } = store;
      const killed: Database = {
        ...database,
        transaction: (work, options) =>
          database.transaction(async (query) => {
            await work(query);
            throw new Error('killed');
          }, options),
      };
      await assert.rejects(readerOn(store, { database: killed }).runOnce(), /killed/);
      assert.deepEqual(await statusesOf(store, createdAt), []);
      await readAll(store);
      assert.deepEqual(await statusesOf(store, createdAt), ['PENDING EUR 1 2500']);
    });

    it('move an order from line to line, and tell how long it took', async () => {
      const store = open();
      const createdAt = nextDay();
      const { eventId } = await store.paid({ createdAt });
      await store.settleOnce(store.doneWith(await store.claimed('fulfillment', eventId), booked));
      await readAll(store);
      assert.deepEqual(await statusesOf(store, createdAt), ['PROCESSED EUR 1 2500']);
      const { days: lines, all } = await createAnalytics(store.database).durations(rangeOf(createdAt));
      assert.deepEqual([lines.map(({ day }) => day), all?.count], [[dayOf(createdAt)], 1]);
    });

    it('do not wait for an order that somebody holds, and hold none', async () => {
      const store = open();
      const createdAt = nextDay();
      const { eventId } = await store.placed({ createdAt });
      const work = await store.claimed('payment', eventId);
      await readAll(store);
      assert.deepEqual(await statusesOf(store, createdAt), ['PENDING EUR 1 2500']);
      assert.equal(await store.settleOnce(store.doneWith(work, authorized)), 'settled');
    });

    it('hold sums beyond what a number and a bigint hold', async () => {
      const store = open();
      const createdAt = nextDay();
      const largest = Number.MAX_SAFE_INTEGER;
      await Promise.all(Array.from({ length: 2 }, () => store.placed({ createdAt, amount: largest })));
      await readAll(store);
      const two = 2n * BigInt(largest);
      assert.deepEqual(await statusesOf(store, createdAt), [`PENDING EUR 2 ${two}`]);
      await store.sql(`UPDATE analytics SET amount = 9223372036854775807 WHERE day = $1`, [dayOf(createdAt)]);
      await store.placed({ createdAt, amount: largest });
      await readAll(store);
      assert.deepEqual(await statusesOf(store, createdAt), [`PENDING EUR 3 ${2n ** 63n - 1n + BigInt(largest)}`]);
    });

    it('stop before an event of a newer release, and count it when that release reads', async () => {
      const store = open();
      await readAll(store);
      const createdAt = nextDay();
      const { eventId } = await store.placed({ createdAt });
      await store.placed({ createdAt });
      const rename = (type: string) =>
        store.sql('UPDATE events SET type = $2, time = now() WHERE id = $1', [eventId, type]);
      await rename('OrderCreatedV9');
      assert.equal(await readerOn(store).runOnce(), 0);
      assert.deepEqual(await statusesOf(store, createdAt), []);
      await rename('OrderCreatedV1');
      await readAll(store);
      assert.deepEqual(await statusesOf(store, createdAt), ['PENDING EUR 2 5000']);
    });

    it('give an event of a newer release up after an hour, and count it when it is sent back', async () => {
      const store = open();
      await readAll(store);
      const createdAt = nextDay();
      const { order, eventId } = await store.placed({ createdAt });
      const alter = (set: string) => store.sql(`UPDATE events SET ${set} WHERE id = $1`, [eventId]);
      await alter(`type = 'OrderCreatedV9', time = time - interval '2 hours'`);
      await readAll(store);
      assert.deepEqual(await statusesOf(store, createdAt), []);
      const [deadLetter] = await deadLettersOf(store);
      assert.deepEqual(
        [deadLetter?.code, deadLetter?.eventId, deadLetter?.orderId, deadLetter?.failureClass],
        ['unknown-version', eventId, order.id, 'non-retryable'],
      );
      await alter(`type = 'OrderCreatedV1'`);
      await readAll(store);
      assert.deepEqual(await statusesOf(store, createdAt), [], 'it waits for a person');
      await store.desk.reprocessDeadLetter(deadLetter?.id ?? '', 'c-3');
      await readAll(store);
      assert.deepEqual(await statusesOf(store, createdAt), ['PENDING EUR 1 2500']);
      assert.deepEqual(await deadLettersOf(store), []);
    });

    it('park one event that cannot be counted, and count all around it', async () => {
      const store = open();
      await readAll(store);
      const createdAt = nextDay();
      for (let n = 0; n < 5; n += 1) await store.placed({ createdAt });
      const { eventId, orderId, mend } = await poisoned(store, createdAt);
      for (let n = 0; n < 5; n += 1) await store.placed({ createdAt });
      await readAll(store);
      assert.deepEqual(
        (await deadLettersOf(store)).map((deadLetter) => [deadLetter.eventId, deadLetter.code]),
        [[eventId, 'defect']],
      );
      assert.deepEqual(await statusesOf(store, createdAt), ['PENDING EUR 10 25000']);
      // Also one that has found nothing to do for a while learns what was sent back.
      const idle = readerOn(store);
      for (let looks = 0; looks < 5; looks += 1) assert.equal(await idle.runOnce(), 0);
      await mend();
      await store.desk.reprocess(orderId, 'c-4');
      await readAll(store, idle);
      assert.deepEqual(await statusesOf(store, createdAt), ['PENDING EUR 11 27500']);
      assert.deepEqual(await deadLettersOf(store), []);
    });

    it('stop before a third event in a row that cannot be counted, for that is no fault of the events', async () => {
      const store = open();
      await readAll(store);
      const createdAt = nextDay();
      const bad = [];
      for (let n = 0; n < 4; n += 1) bad.push(await poisoned(store, createdAt));
      await store.placed({ createdAt });
      const said: string[] = [];
      const reader = readerOn(store, { log: { ...silentLog, error: (_fields, message) => void said.push(message) } });
      await reader.run(new AbortController().signal);
      assert.match(said.at(-1) ?? '', /a defect of this release; the reader stops before them/);
      assert.deepEqual(
        (await deadLettersOf(store)).map(({ eventId }) => eventId).toSorted(),
        bad.slice(0, 2).map(({ eventId }) => eventId),
      );
      assert.equal(await unread(store), 3);
      for (const { mend, orderId } of bad) {
        await mend();
        await store.desk.reprocess(orderId, 'c-5');
      }
      await readAll(store);
      assert.deepEqual(await statusesOf(store, createdAt), ['PENDING EUR 5 12500']);
    });

    it('park nothing and say so where the database refuses what is no fault of an event', async () => {
      const store = open();
      await readAll(store);
      const createdAt = nextDay();
      await store.placed({ createdAt });
      await store.sql('ALTER TABLE analytics RENAME TO analytics_away');
      try {
        await assert.rejects(readerOn(store).runOnce(), /analytics/);
      } finally {
        await store.sql('ALTER TABLE analytics_away RENAME TO analytics');
      }
      assert.deepEqual(await deadLettersOf(store), []);
      await readAll(store);
      assert.deepEqual(await statusesOf(store, createdAt), ['PENDING EUR 1 2500']);
    });

    it('tell reasons and countries apart, and days', async () => {
      const store = open();
      const createdAt = nextDay();
      const { order } = await store.placed({ createdAt, country: 'DE' });
      await store.placed({ createdAt: nextDay(), country: 'DE' });
      await store.desk.cancel(order.id, 'a "reason" of {theirs}', 'c-2');
      await readAll(store);
      const analytics = createAnalytics(store.database);
      const line = { day: dayOf(createdAt), currency: 'EUR', count: 1, amount: 2_500n };
      assert.deepEqual(await analytics.countries(rangeOf(createdAt)), [{ ...line, status: 'CANCELED', country: 'DE' }]);
      assert.deepEqual(await analytics.reasons(rangeOf(createdAt)), [
        { ...line, kind: 'canceled', code: 'canceled-by-request' },
      ]);
      const everything = await analytics.statuses({ from: null, to: null });
      assert.ok(everything.length >= 2, 'a range without ends has all days');
    });
  });
}
