// What every database promises about the inbox's scans, retention, and what could not be read.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { envelopeBytesMax } from '../../src/engine/envelope.ts';
import type { Unread } from '../../src/engine/ports.ts';
import { createCleanup } from '../../src/io/postgres/cleanup.ts';
import type { Query } from '../../src/io/postgres/database.ts';
import { createInbox } from '../../src/io/postgres/inbox.ts';
import { silentLog } from '../support/silent-log.ts';
import { answersOf, authorized, type Store, troubleOf } from '../support/store.ts';
import { until } from '../support/until.ts';

const hourAgoMs = 3_600_000;
const dayMs = 86_400_000;

export function inboxContract(open: () => Store): void {
  // A consumer and a type of its own for each test, read from the first fact on.
  let readers = 0;
  const newReader = async () => {
    readers += 1;
    const [consumer, type] = [`reader-${readers}`, `Happened${readers}V1`];
    const { sql, system } = open();
    await sql(`INSERT INTO watermarks (consumer, type, xid) VALUES ($1, $2, '0')`, [consumer, type]);
    const time = new Date(system.now().getTime() - hourAgoMs);
    const happen = async (given: { time?: Date } = {}) => {
      const id = system.newId();
      await sql(
        `INSERT INTO events (id, order_id, version, type, data, correlation_id, time)
         VALUES ($1, $2, 1, $3, '{}', 'c-1', $4)`,
        [id, system.newId(), type, given.time ?? time],
      );
      return id;
    };
    const deliver = (ids: readonly string[], state = 'done') =>
      sql(
        `INSERT INTO deliveries (event_id, consumer, order_id, state, token, epoch, attempt, takeovers, due_at)
         SELECT id, $2, gen_random_uuid(), $3::text, gen_random_uuid(), 0, 1, 0,
                CASE WHEN $3::text IN ('running', 'waiting') THEN now() END FROM unnest($1::uuid[]) AS id`,
        [ids, consumer, state],
      );
    const mark = async () => {
      const rows = await sql<{ xid: string }>(`SELECT xid::text FROM watermarks WHERE consumer = $1`, [consumer]);
      return BigInt(rows[0]?.xid ?? -1);
    };
    const xidOf = async (eventId: string) => {
      const rows = await sql<{ xid: string }>('SELECT xid::text FROM events WHERE id = $1', [eventId]);
      return BigInt(rows[0]?.xid ?? -1);
    };
    const missed = (limit = 100) => open().inbox.missed(consumer, type, 3_000, limit);
    // Every fact in a transaction of four, as explicit numbers far below those of today.
    const backlog = async (facts: number, delivered: string) => {
      await sql(
        `INSERT INTO events (id, order_id, version, type, data, correlation_id, time, xid)
         SELECT gen_random_uuid(), gen_random_uuid(), 1, $1, '{}', 'c-1', $2, (nth / 4 + 1)::text::xid8
         FROM generate_series(0, $3::integer - 1) AS nth`,
        [type, time, facts],
      );
      await sql(
        `INSERT INTO deliveries (event_id, consumer, order_id, state, token, epoch, attempt, takeovers)
         SELECT id, $1, order_id, 'done', gen_random_uuid(), 0, 1, 0 FROM events WHERE type = $2 AND ${delivered}`,
        [consumer, type],
      );
    };
    return { consumer, type, happen, deliver, mark, xidOf, missed, backlog };
  };

  describe('the scan for missed facts', () => {
    it('finds the facts that have no delivery, once they are old enough', async () => {
      const { consumer, type, happen, deliver, missed } = await newReader();
      const ids = [await happen(), await happen(), await happen()];
      const young = await happen({ time: open().system.now() });
      await deliver(ids.slice(1, 2));
      assert.deepEqual(await missed(), { eventIds: [ids[0], ids[2]], reachedEnd: true });
      await deliver([...ids.slice(0, 1), ...ids.slice(2)]);
      assert.deepEqual(await missed(), { eventIds: [], reachedEnd: true });
      const { inbox } = open();
      assert.deepEqual((await inbox.missed(consumer, type, 0, 100)).eventIds, [young]);
    });

    it('finds at once a fact whose writer had a clock ahead, and is not kept by it from what lies behind', async () => {
      const { happen, missed } = await newReader();
      const early = await happen({ time: new Date(open().system.now().getTime() + hourAgoMs) });
      const old = await happen();
      assert.deepEqual(await missed(), { eventIds: [early, old], reachedEnd: true });
      assert.equal((await missed(1)).eventIds.length, 1);
    });

    it('moves the watermark over facts that have a delivery in any state, and over no other', async () => {
      const { happen, deliver, missed, mark, xidOf } = await newReader();
      const ids: string[] = [];
      for (let count = 0; count < 7; count += 1) ids.push(await happen());
      const [a, b, c, d, e, gap, behind] = ids as [string, string, string, string, string, string, string];
      await deliver([a], 'running');
      await deliver([b], 'waiting');
      await deliver([c], 'done');
      await deliver([d], 'skipped');
      await deliver([e], 'dead');
      await deliver([behind]);
      assert.deepEqual((await missed()).eventIds, [gap]);
      assert.equal(await mark(), await xidOf(e));
      await deliver([gap]);
      await missed();
      assert.equal(await mark(), await xidOf(behind));
    });

    it('does not let the watermark pass a fact that is only too young to be missed', async () => {
      const { happen, missed, mark, xidOf, deliver } = await newReader();
      const first = await happen();
      await happen({ time: open().system.now() });
      await deliver([first]);
      assert.deepEqual((await missed()).eventIds, []);
      assert.equal(await mark(), await xidOf(first));
    });

    it('never moves the watermark back, however slow one of several scans is', async () => {
      const { consumer, type, happen, deliver, missed, mark, xidOf } = await newReader();
      const { database, system } = open();
      let go = () => {};
      const gate = new Promise<void>((resolve) => {
        go = resolve;
      });
      let hasScanned = false;
      const query: Query = async (text, values) => {
        if (text.startsWith('/* advance-watermark */')) {
          hasScanned = true;
          await gate;
        }
        return database.query(text, values);
      };
      const slow = createInbox({ database: { ...database, query }, system, leaseMs: 1_000, maxWaitMs: 1_000 });
      await deliver([await happen()]);
      const scan = slow.missed(consumer, type, 0, 100);
      await until(() => hasScanned, 'the slow scan to be about to write');
      const last = await happen();
      await deliver([last]);
      await missed();
      go();
      await scan;
      assert.equal(await mark(), await xidOf(last));
    });

    it('goes over a backlog once, the watermark along with it', async () => {
      const { backlog, missed, mark } = await newReader();
      await backlog(2_800, 'true');
      const rounds = [await missed(), await missed(), await missed()];
      assert.deepEqual(
        rounds.map(({ reachedEnd }) => reachedEnd),
        [false, false, true],
      );
      assert.equal(await mark(), 700n);
    });

    it('finds what lies far behind a fact that cannot be delivered', async () => {
      const { backlog, missed, mark } = await newReader();
      await backlog(2_800, `xid NOT IN ('3', '650')`);
      const rounds = [await missed(), await missed(), await missed()];
      assert.deepEqual(
        rounds.map(({ eventIds, reachedEnd }) => [eventIds.length, reachedEnd]),
        [
          [4, false],
          [0, false],
          [4, true],
        ],
      );
      assert.equal(await mark(), 2n);
      assert.equal((await missed()).eventIds.length, 4);
    });

    it('gives no more than is asked for', async () => {
      const { happen, missed } = await newReader();
      const ids = [await happen(), await happen(), await happen()];
      assert.deepEqual((await missed(2)).eventIds, ids.slice(0, 2));
    });
  });

  describe('the look at what is due', () => {
    it('finds retries, deferred work and ended leases, the longest due first, and nothing else', async () => {
      const { inbox, placed, claimed, waitingFor, settleOnce, makeDue, sql } = open();
      await sql(`UPDATE deliveries SET state = 'skipped', due_at = NULL WHERE due_at IS NOT NULL`);
      const [retry, deferred, dead, held, later] = await Promise.all([
        placed(),
        placed(),
        placed(),
        placed(),
        placed(),
      ]);
      for (const { eventId } of [dead, held]) await claimed('payment', eventId);
      await settleOnce(waitingFor(await claimed('payment', retry.eventId), 0, true));
      await settleOnce(waitingFor(await claimed('payment', deferred.eventId), 0, false));
      await settleOnce(waitingFor(await claimed('payment', later.eventId), 60_000, true));
      for (const { eventId } of [deferred, dead, retry]) await makeDue('payment', eventId);
      const expected = [deferred, dead, retry].map(({ eventId }) => ({ eventId, raw: null }));
      assert.deepEqual(await inbox.due('payment', 100, 'all'), expected);
      assert.deepEqual(await inbox.due('payment', 2, 'all'), expected.slice(0, 2));
      assert.deepEqual(await inbox.due('fulfillment', 100, 'all'), []);
    });

    it('finds, while a dependency is away, only what has waited too long', async () => {
      const { inbox, placed, claimed, waitingFor, settleOnce, makeDue, waitingSince } = open();
      const [short, long] = await Promise.all([placed(), placed()]);
      for (const { eventId } of [short, long]) {
        await settleOnce(waitingFor(await claimed('payment', eventId), 0, false));
        await makeDue('payment', eventId);
      }
      await waitingSince('payment', long.eventId, dayMs + 1_000);
      await waitingSince('payment', short.eventId, dayMs - 60_000);
      assert.deepEqual(await inbox.due('payment', 100, 'waited-too-long'), [{ eventId: long.eventId, raw: null }]);
    });
  });

  describe('what a reader could not use', () => {
    const unread = (text: string, given: Partial<Unread> = {}): Unread => ({
      body: Buffer.from(text),
      eventId: null,
      eventType: null,
      code: 'unreadable',
      message: 'it is not JSON',
      ...given,
    });
    const lettersOf = async (code: string) => {
      const page = await open().desk.deadLetters({ limit: 100, after: null, consumer: null, code });
      return page.items;
    };

    it('is kept with its bytes, once per consumer however often it comes', async () => {
      const { inbox } = open();
      const body = Buffer.from([0, 1, 2, 255]);
      for (let times = 0; times < 3; times += 1) await inbox.park('payment', unread('', { body }));
      await inbox.park('notification', unread('', { body }));
      const letters = await lettersOf('unreadable');
      assert.deepEqual(letters.map(({ consumer }) => consumer).sort(), ['notification', 'payment']);
      const { orderId, eventId, eventType, order, failureClass } = letters[0] ?? {};
      assert.deepEqual([orderId, eventId, eventType, order, failureClass], [null, null, null, null, 'non-retryable']);
      const [kept] = await open().sql<{ raw: Buffer }>(
        `SELECT raw FROM dead_letters WHERE consumer = 'notification' AND raw IS NOT NULL`,
      );
      assert.deepEqual(kept?.raw, body);
    });

    it('is due with its bytes when a person sends it back, and ends when it was read anew', async () => {
      const { inbox, desk, sql } = open();
      await inbox.park('payment', unread('send me back', { code: 'unknown-fact', eventType: 'OrderCreatedV1' }));
      const [letter] = await lettersOf('unknown-fact');
      assert.ok(letter);
      assert.equal(await desk.reprocessLetter(letter.id, 'c-9'), null);
      assert.deepEqual(await lettersOf('unknown-fact'), []);
      const due = (await inbox.due('payment', 1_000, 'all')).filter(({ raw }) => raw !== null);
      assert.deepEqual(
        due.map(({ raw }) => raw?.toString()),
        ['send me back'],
      );
      await inbox.finishUnread('payment', due[0]?.eventId ?? '');
      const left = (await inbox.due('payment', 1_000, 'all')).filter(({ raw }) => raw !== null);
      assert.deepEqual(left, []);
      const [audit] = await sql(`SELECT action FROM audit_log WHERE correlation_id = 'c-9'`);
      assert.deepEqual(audit, { action: 'letter-reprocessed' });
    });

    it('that is parked again while it is read anew has a new letter and is not finished', async () => {
      const { inbox, desk } = open();
      await inbox.park('payment', unread('useless', { code: 'unknown-fact' }));
      const [letter] = await lettersOf('unknown-fact');
      assert.ok(letter);
      await desk.reprocessLetter(letter.id, 'c-10');
      const [due] = (await inbox.due('payment', 1_000, 'all')).filter(({ raw }) => raw?.toString() === 'useless');
      assert.ok(due);
      await inbox.park('payment', unread('useless', { code: 'unknown-fact' }));
      await inbox.finishUnread('payment', due.eventId);
      const again = await lettersOf('unknown-fact');
      assert.equal(again.length, 1);
      assert.notEqual(again[0]?.id, letter.id);
      await desk.reprocessLetter(again[0]?.id ?? '', 'c-11');
      assert.equal(
        (await inbox.due('payment', 1_000, 'all')).filter(({ raw }) => raw?.toString() === 'useless').length,
        1,
      );
    });

    it('that is too large is kept so that it stays too large, and no larger', async () => {
      const { inbox, sql } = open();
      const body = Buffer.alloc(10 * envelopeBytesMax, 'x');
      await inbox.park('payment', unread('', { body, code: 'oversized' }));
      const [row] = await sql<{ bytes: number }>(
        `SELECT octet_length(raw) AS bytes FROM dead_letters WHERE code = 'oversized'`,
      );
      assert.ok(row && row.bytes > envelopeBytesMax && row.bytes <= envelopeBytesMax + 1, `${row?.bytes} bytes`);
    });
  });

  describe('the cleanup', () => {
    // As if it ran so many days later.
    const runAfter = (days: number) => {
      const { database, system } = open();
      const now = () => new Date(system.now().getTime() + days * dayMs);
      return createCleanup({
        database,
        system: { ...system, now },
        retention: { keysHours: 168, rowsDays: 30 },
        log: silentLog,
      }).runOnce();
    };
    const passed = (consumer: string, eventId: string) =>
      open().sql(`UPDATE watermarks SET xid = (SELECT xid FROM events WHERE id = $2) WHERE consumer = $1`, [
        consumer,
        eventId,
      ]);

    it('removes deliveries that are old, ended and below the watermark; a duplicate of theirs stays one', async () => {
      const { placed, claimed, claimOf, claimOnce, doneWith, deadBy, waitingFor, settleOnce, deliveryInWords } = open();
      const [done, skipped, dead, waiting, above] = [
        await placed(),
        await placed(),
        await placed(),
        await placed(),
        await placed(),
      ];
      await settleOnce(doneWith(await claimed('payment', done.eventId), authorized));
      await open().desk.cancel(skipped.order.id, null, 'c-2');
      await claimOnce(claimOf('payment', skipped.eventId));
      await settleOnce(deadBy(await claimed('payment', dead.eventId), troubleOf()));
      await settleOnce(waitingFor(await claimed('payment', waiting.eventId), 60_000, true));
      await settleOnce(doneWith(await claimed('payment', above.eventId), authorized));
      await passed('payment', waiting.eventId);
      const all = () =>
        Promise.all([done, skipped, dead, waiting, above].map(({ eventId }) => deliveryInWords('payment', eventId)));
      const before = ['done 1/0', 'skipped 0/0', 'dead 1/0', 'waiting 1/0', 'done 1/0'];
      assert.deepEqual(await all(), before);
      await runAfter(29);
      assert.deepEqual(await all(), before);
      await runAfter(31);
      assert.deepEqual(await all(), ['no row', 'no row', 'dead 1/0', 'waiting 1/0', 'done 1/0']);
      assert.deepEqual(await claimOnce(claimOf('payment', done.eventId)), { answer: 'duplicate' });
      assert.deepEqual(await claimOnce(claimOf('payment', skipped.eventId)), { answer: 'duplicate' });
      assert.equal(await deliveryInWords('payment', done.eventId), 'no row');
    });

    it('removes keys after their time: an equal request is a new order then', async () => {
      const { accept, requestOf, rowsOf } = open();
      const request = requestOf({ key: 'kept for a week' });
      await accept([request]);
      await runAfter(6);
      assert.deepEqual(answersOf(await accept([requestOf({ key: 'kept for a week' })])), ['replayed']);
      await runAfter(8);
      assert.deepEqual(answersOf(await accept([requestOf({ key: 'kept for a week' })])), ['placed']);
      assert.equal((await rowsOf(request.order.id)).orders, 1);
    });

    it('removes attempts and closed letters after their time, and never an open letter, an order or a fact', async () => {
      const { placed, claimed, deadBy, settleOnce, desk, rowsOf } = open();
      const [closed, left] = [await placed(), await placed()];
      for (const { eventId } of [closed, left])
        await settleOnce(deadBy(await claimed('payment', eventId), troubleOf()));
      await desk.reprocess(closed.order.id, 'c-2');
      const counts = async (id: string) => {
        const { orders, events, effects, attempts, letters } = await rowsOf(id);
        return { orders, events, effects, attempts, letters };
      };
      await runAfter(29);
      assert.deepEqual(await counts(closed.order.id), { orders: 1, events: 3, effects: 1, attempts: 1, letters: 1 });
      await runAfter(31);
      assert.deepEqual(await counts(closed.order.id), { orders: 1, events: 3, effects: 1, attempts: 0, letters: 0 });
      assert.deepEqual(await counts(left.order.id), { orders: 1, events: 2, effects: 1, attempts: 0, letters: 1 });
    });

    it('removes what was kept of an unread message with its closed letter, and nothing of an open one', async () => {
      const { inbox, desk, sql } = open();
      const rowsOf = async (text: string) => {
        const [row] = await sql<{ letters: number; deliveries: number }>(
          `SELECT count(*) AS letters, count(d.event_id) AS deliveries FROM dead_letters l
           LEFT JOIN deliveries d ON d.event_id = l.delivery_id AND d.consumer = l.consumer WHERE l.message = $1`,
          [text],
        );
        return [row?.letters, row?.deliveries];
      };
      const deliveriesBefore = async () =>
        (await sql<{ count: number }>('SELECT count(*) AS count FROM deliveries WHERE order_id IS NULL'))[0]?.count ??
        0;
      const count = await deliveriesBefore();
      for (const text of ['an open one', 'a closed one']) {
        const unread = { body: Buffer.from(text), eventId: null, eventType: null, message: text };
        await inbox.park('payment', { ...unread, code: 'unreadable' });
      }
      const [letter] = await sql<{ id: string; delivery_id: string }>(
        `SELECT id, delivery_id FROM dead_letters WHERE message = 'a closed one'`,
      );
      await desk.reprocessLetter(letter?.id ?? '', 'c-12');
      await inbox.finishUnread('payment', letter?.delivery_id ?? '');
      await runAfter(29);
      assert.deepEqual(
        [await rowsOf('an open one'), await rowsOf('a closed one')],
        [
          [1, 1],
          [1, 1],
        ],
      );
      await runAfter(31);
      assert.deepEqual(
        [await rowsOf('an open one'), await rowsOf('a closed one')],
        [
          [1, 1],
          [0, 0],
        ],
      );
      assert.ok((await deliveriesBefore()) <= count + 1);
    });

    it('goes through any number of old rows, a thousand at a time', async () => {
      const { sql } = open();
      await sql(
        `INSERT INTO idempotency_keys SELECT 'old ' || nth, decode(repeat('00', 32), 'hex'), gen_random_uuid(), '2020-01-01'
         FROM generate_series(1, 2500) AS nth`,
      );
      assert.equal((await runAfter(0)).keys, 2_500);
    });
  });
}
