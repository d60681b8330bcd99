// `verify` on every database the product runs on: clean after real work, and each promise broken once by
// hand, which it must name with the order it is about.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import type { Order, OrderId, PaymentScenario } from '../../src/domain/order.ts';
import { isRefusal } from '../../src/domain/refusals.ts';
import { silentObserver } from '../../src/engine/observer.ts';
import { type PromiseName, promiseNames, promises } from '../../src/flow/verify/promises.ts';
import { type Entry, type NewEntry, openLedger } from '../../src/io/partners/ledger.ts';
import { createLocalPartners } from '../../src/io/partners/local.ts';
import { createSandboxServer } from '../../src/io/partners/server.ts';
import { createStage } from '../../src/io/partners/stage.ts';
import { addCounts } from '../../src/io/postgres/analytics.ts';
import { createPostgresSearch } from '../../src/io/postgres/documents.ts';
import { createVerifyAnalytics } from '../../src/io/postgres/verify-analytics.ts';
import { createSystem } from '../../src/io/system.ts';
import { readConfig } from '../../src/main/config.ts';
import { verify } from '../../src/main/verify.ts';
import type { VerifyOptions } from '../../src/main/verify-options.ts';
import { toTable, type Verdict } from '../../src/main/verify-report.ts';
import { allRoles, createEngine } from '../../src/main/wire.ts';
import { awaitRest } from '../support/audit.ts';
import { createTestBus } from '../support/bus.ts';
import { silentLog } from '../support/silent-log.ts';
import { createStore, type Opened, openEmbeddedAnew, openServer } from '../support/store.ts';
import { until } from '../support/until.ts';
import { quickSettings } from '../support/world.ts';

const tables = [
  ...['orders', 'events', 'jobs', 'cursors', 'idempotency_keys', 'dead_letters', 'attempts'],
  'analytics',
];
const system = createSystem();

type Stories = { processed: Order; declined: Order; failed: Order; canceled: Order };

// Real work on an empty database, all of it ended; then what the tests need of it.
async function worked({ database }: Opened, directory: string) {
  const { query: sql } = database;
  const ledger = openLedger({ directory });
  const stage = createStage();
  const engine = createEngine({
    database,
    bus: createTestBus(),
    knowsAllWriters: false,
    search: createPostgresSearch(database),
    partners: createLocalPartners({ ledger, stage, system }),
    simulatedPartners: true,
    settings: quickSettings,
    roles: allRoles,
    retention: { keysHours: 168, rowsDays: 30 },
    observer: silentObserver,
    system,
    log: silentLog,
  });
  await engine.start();
  const place = async (paymentScenario: PaymentScenario): Promise<Order> => {
    const command = { customerEmail: 'a@example.com', amount: 1_999, paymentScenario };
    const key = `key-${paymentScenario}`;
    const placed = await engine.desk.place({ command, received: command, key, correlationId: 'c', traceparent: null });
    assert.ok(!isRefusal(placed));
    return placed.order;
  };
  const is = (id: OrderId, status: Order['status']) =>
    until(async () => {
      const order = await engine.desk.read(id);
      if (isRefusal(order) || order.status !== status) throw new Error(JSON.stringify(order));
      return order;
    }, `${id} to be ${status}`);

  const canceled = await place('lost-answer');
  await is(canceled.id, 'PROCESSING');
  await engine.desk.cancel(canceled.id, null, 'c');
  const [processed, declined, failed] = [await place('success'), await place('failure'), await place('fatal')];
  const stories: Stories = {
    canceled: await is(canceled.id, 'CANCELED'),
    processed: await is(processed.id, 'PROCESSED'),
    declined: await is(declined.id, 'CANCELED'),
    failed: await is(failed.id, 'FAILED'),
  };
  await awaitRest(sql);
  await engine.stop(0);
  for (const table of tables) await sql(`CREATE TABLE saved_${table} AS TABLE ${table}`);
  // As if the events had always been what a test has made of them.
  const rebooked = async () => {
    const { days, reads } = createVerifyAnalytics(database);
    const all = await days(null);
    for (const day of all) {
      const cursor = await reads.lines(day);
      await sql('DELETE FROM analytics WHERE day = $1', [day]);
      for await (const counts of reads.counted(day, cursor)) await addCounts(sql, counts);
    }
  };
  const restore = async () => {
    await sql(`TRUNCATE ${tables.join(', ')}`);
    for (const table of tables) await sql(`INSERT INTO ${table} OVERRIDING SYSTEM VALUE SELECT * FROM saved_${table}`);
  };
  const server = createSandboxServer({ ledger, stage, system, log: silentLog, gate: () => null });
  const ledgerUrl = await server.listen({ host: '127.0.0.1', port: 0 });
  const close = async () => {
    await server.close();
    ledger.close();
  };
  return { sql, ledger, stories, rebooked, restore, ledgerUrl, close };
}

// What breaks each promise, by hand: `$1` is the order's id, and the finding must name it.
const broken: readonly { promise: PromiseName; by: string; order: keyof Stories; sql: string }[] = [
  {
    promise: 'events',
    by: 'a missing event',
    order: 'processed',
    sql: 'DELETE FROM events WHERE order_id = $1 AND version = 2',
  },
  {
    promise: 'events',
    by: 'a version ahead',
    order: 'declined',
    sql: 'UPDATE orders SET version = version + 1 WHERE id = $1',
  },
  {
    promise: 'story',
    by: 'another first event',
    order: 'processed',
    sql: `UPDATE events SET type = 'PaymentFailedV1' WHERE order_id = $1 AND version = 1`,
  },
  {
    promise: 'story',
    by: 'an event that cannot follow',
    order: 'processed',
    sql: `UPDATE events SET type = 'OrderReprocessedV1' WHERE order_id = $1 AND version = 2`,
  },
  {
    promise: 'story',
    by: 'an event that tells of another status',
    order: 'processed',
    sql: `UPDATE events SET data = '{"previousStatus":"PENDING","status":"PROCESSED"}' WHERE order_id = $1 AND version = 3`,
  },
  {
    promise: 'story',
    by: 'another status',
    order: 'processed',
    sql: `UPDATE orders SET status = 'PENDING' WHERE id = $1`,
  },
  {
    promise: 'story',
    by: 'another payment',
    order: 'declined',
    sql: `UPDATE orders SET payment = 'voided' WHERE id = $1`,
  },
  {
    promise: 'story',
    by: 'another fulfillment',
    order: 'failed',
    sql: `UPDATE orders SET fulfillment = 'canceled' WHERE id = $1`,
  },
  {
    promise: 'story',
    by: 'another price',
    order: 'failed',
    sql: 'UPDATE orders SET amount = amount + 1 WHERE id = $1',
  },
  {
    promise: 'story',
    by: 'an event about other money',
    order: 'declined',
    sql: `UPDATE events SET data = jsonb_set(data::jsonb, '{currency}', '"EUR"')::json WHERE order_id = $1 AND version = 2`,
  },
  { promise: 'keys', by: 'a lost order', order: 'processed', sql: 'DELETE FROM orders WHERE id = $1' },
  {
    promise: 'keys',
    by: 'a second key',
    order: 'processed',
    sql: `INSERT INTO idempotency_keys SELECT key || '-2', fingerprint, order_id, created_at FROM idempotency_keys WHERE order_id = $1`,
  },
  { promise: 'owners', by: 'events without their order', order: 'processed', sql: 'DELETE FROM orders WHERE id = $1' },
  {
    promise: 'owners',
    by: 'a job without its event',
    order: 'processed',
    sql: `INSERT INTO jobs (order_id, version, consumer, event_type) VALUES ($1, 99, 'payment', 'OrderCreatedV1')`,
  },
  {
    promise: 'owners',
    by: 'a dead letter without its event',
    order: 'failed',
    sql: 'UPDATE dead_letters SET version = 99 WHERE order_id = $1',
  },
  {
    promise: 'dead letters',
    by: 'FAILED without a dead letter',
    order: 'failed',
    sql: 'DELETE FROM dead_letters WHERE order_id = $1',
  },
  {
    promise: 'dead letters',
    by: 'a dead letter without FAILED',
    order: 'failed',
    sql: `UPDATE orders SET status = 'PENDING', reason_code = null, reason_message = null WHERE id = $1`,
  },
  {
    promise: 'dead letters',
    by: 'an open dead letter of an event that still has a job',
    order: 'failed',
    sql: `INSERT INTO jobs (order_id, version, consumer, event_type)
          SELECT order_id, version, consumer, event_type FROM dead_letters WHERE order_id = $1`,
  },
  {
    promise: 'work',
    by: 'an order that nothing moves',
    order: 'processed',
    sql: `UPDATE orders SET status = 'PROCESSING' WHERE id = $1`,
  },
  {
    promise: 'effects',
    by: 'an authorization that the order does not tell of',
    order: 'failed',
    sql: `UPDATE orders SET authorization_state = 'done', authorization_reference = 'a' WHERE id = $1`,
  },
  {
    promise: 'effects',
    by: 'a generation nobody asked for',
    order: 'failed',
    sql: 'UPDATE orders SET authorization_generation = 1 WHERE id = $1',
  },
  {
    promise: 'processed',
    by: 'a booking that is not done',
    order: 'processed',
    sql: `UPDATE orders SET booking_state = 'unknown' WHERE id = $1`,
  },
  {
    promise: 'canceled',
    by: 'an authorization that was left',
    order: 'canceled',
    sql: `UPDATE orders SET authorization_state = 'done', authorization_reference = 'left' WHERE id = $1`,
  },
  {
    promise: 'attempts',
    by: 'one attempt too many',
    order: 'processed',
    sql: `INSERT INTO jobs (order_id, version, consumer, event_type, attempt) VALUES ($1, 1, 'payment', 'OrderCreatedV1', 5)`,
  },
  {
    promise: 'late publishing',
    by: 'a debt of an hour',
    order: 'processed',
    sql: `WITH old AS (UPDATE events SET time = time - interval '1 hour' WHERE order_id = $1 RETURNING position)
          UPDATE cursors SET gaps = (SELECT range_agg(int8range(position, position, '[]')) FROM old) WHERE reader = 'relay'`,
  },
  {
    promise: 'late reading',
    by: 'an event that the search has not read for an hour',
    order: 'canceled',
    sql: `WITH old AS (UPDATE events SET time = time - interval '1 hour' WHERE order_id = $1 RETURNING position)
          UPDATE cursors SET read_to = (SELECT min(position) - 1 FROM old) WHERE reader = 'search.postgres'`,
  },
  {
    promise: 'late work',
    by: 'a lease that ended an hour ago',
    order: 'processed',
    sql: `INSERT INTO jobs (order_id, version, consumer, event_type, token, lease_until)
          VALUES ($1, 3, 'notification', 'FulfillmentScheduledV1', gen_random_uuid(), now() - interval '1 hour')`,
  },
  {
    promise: 'late work',
    by: 'a job that is due for an hour',
    order: 'processed',
    sql: `INSERT INTO jobs (order_id, version, consumer, event_type, due_at)
          VALUES ($1, 3, 'notification', 'FulfillmentScheduledV1', now() - interval '1 hour')`,
  },
];

const databases = [
  ['a PostgreSQL server', openServer],
  ['the embedded database', openEmbeddedAnew],
] as const;

for (const [name, open] of databases) {
  describe(`verify on ${name}`, { timeout: 120_000 }, () => {
    const directory = mkdtempSync(join(tmpdir(), 'orderly-verify-'));
    let opened: Opened;
    let work: Awaited<ReturnType<typeof worked>>;
    before(async () => {
      opened = await open();
      work = await worked(opened, directory);
    });
    afterEach(() => work.restore());
    after(async () => {
      await work.close();
      await opened.close();
      rmSync(directory, { recursive: true });
    });

    const reading = readConfig({}, 'verify');
    assert.ok(reading.ok);
    const verified = (options: Partial<VerifyOptions> = {}): Promise<Verdict> =>
      verify(
        opened.database,
        reading.config,
        { since: null, json: false, ledgerUrl: null, ...options },
        { system, signal: new AbortController().signal, progress: null },
      );
    const rowOf = (verdict: Verdict, promise: PromiseName) => {
      const row = verdict.promises.find((one) => one.name === promise);
      assert.ok(row);
      return row;
    };
    const assertNamed = (verdict: Verdict, promise: PromiseName, orderId: string) => {
      const { status, found, findings } = rowOf(verdict, promise);
      // What is only late is no violation: a stopped system is no broken one.
      assert.equal(status, promise.startsWith('late ') ? 'late' : 'violated', toTable(verdict));
      assert.ok(found > 0);
      assert.ok(
        findings.some(({ id, what, remedy }) => id === orderId && what.length > 10 && remedy.length > 10),
        `${orderId} is not named: ${JSON.stringify(findings)}`,
      );
      assert.ok(toTable(verdict).includes(orderId));
    };

    it('finds nothing after real work, with the ledger and without', async () => {
      for (const ledgerUrl of [null, work.ledgerUrl]) {
        const verdict = await verified({ ledgerUrl });
        assert.equal(verdict.status, 'ok', toTable(verdict));
        assert.deepEqual(
          verdict.promises.filter(({ found }) => found > 0),
          [],
        );
        assert.equal(verdict.orders, 4);
        const expected = promiseNames.filter((one) => ledgerUrl !== null || !promises[one].byLedger);
        assert.deepEqual(
          verdict.promises.map((one) => one.name),
          expected,
        );
        assert.match(toTable(verdict), /All \d+ promises kept\.$/);
        assert.ok(expected.every((one) => toTable(verdict).includes(`  ${one} `)));
      }
    });

    for (const { promise, by, order, sql } of broken) {
      it(`names ${promise} broken by ${by}`, async () => {
        const { id } = work.stories[order];
        await work.sql(sql, [id]);
        assertNamed(await verified(), promise, id);
      });
    }

    it('finds nothing in an undo that gave up in doubt', async () => {
      const { id } = work.stories.processed;
      await work.sql(
        `WITH cancel AS (
           UPDATE events SET type = 'OrderCanceledV1', data = '{"previousStatus":"PROCESSING","status":"CANCELED"}'
           WHERE order_id = $1 AND version = 3 RETURNING id, order_id
         ), dead_letter AS (
           INSERT INTO dead_letters (id, order_id, version, consumer, event_id, event_type, epoch, failure_class, code,
                                     message, attempts, failed_at)
           SELECT gen_random_uuid(), order_id, 3, 'compensation', id, 'OrderCanceledV1', 0, 'unknown', 'timeout', 'm', 4,
                  now() FROM cancel
         )
         UPDATE orders SET status = 'CANCELED', payment = 'unknown', fulfillment = 'unknown', reason_code = 'c',
           reason_message = 'm', authorization_state = 'unknown', booking_state = 'unknown' WHERE id = $1`,
        [id],
      );
      await work.rebooked();
      const verdict = await verified();
      assert.equal(verdict.status, 'ok', toTable(verdict));
    });

    it('names the day of analytics that are not the sum of the events, whichever side is short', async () => {
      const [{ day } = { day: '' }] = await work.sql<{ day: string }>('SELECT min(day) AS day FROM analytics');
      for (const change of [
        `UPDATE analytics SET count = count + 1 WHERE measure = 'status' AND value = 'PROCESSED'`,
        `UPDATE analytics SET amount = amount - 1 WHERE measure = 'failed'`,
        `DELETE FROM analytics WHERE measure = 'duration'`,
        `INSERT INTO analytics SELECT day, 'declined', 'made-up', currency, country, 1, 1 FROM analytics LIMIT 1`,
        'DELETE FROM analytics',
      ]) {
        await work.sql(change);
        assertNamed(await verified(), 'analytics', day);
        await work.restore();
      }
      const after = new Date(Date.parse(day) + 1);
      await work.sql('DELETE FROM analytics');
      const part = await verified({ since: after });
      assert.deepEqual([rowOf(part, 'analytics').status, rowOf(part, 'analytics').checked], ['ok', 0], 'a day in part');
    });

    it('expects of the analytics what their cursor has passed, and neither what it has not nor what waits for a person', async () => {
      const { id } = work.stories.failed;
      const [{ day } = { day: '' }] = await work.sql<{ day: string }>('SELECT min(day) AS day FROM analytics');
      for (const change of [
        `UPDATE cursors SET gaps = (SELECT range_agg(int8range(position, position, '[]')) FROM events WHERE order_id = $1)
         WHERE reader = 'analytics'`,
        `UPDATE cursors SET read_to = (SELECT min(position) - 1 FROM events WHERE order_id = $1) WHERE reader = 'analytics'`,
        `INSERT INTO dead_letters (id, order_id, version, consumer, event_id, event_type, epoch, failure_class, code, message,
                                   attempts, failed_at)
         SELECT gen_random_uuid(), order_id, version, 'analytics', id, type, 0, 'non-retryable', 'defect', 'm', 1, now()
         FROM events WHERE order_id = $1`,
      ]) {
        await work.sql(change, [id]);
        assertNamed(await verified(), 'analytics', day);
        await work.rebooked();
        const verdict = await verified();
        assert.equal(verdict.status, 'ok', toTable(verdict));
        await work.restore();
      }
    });

    it('leaves out the orders before a time', async () => {
      await work.sql('UPDATE orders SET version = 9 WHERE id = $1', [work.stories.processed.id]);
      const hourMs = 3_600_000;
      const before = await verified({ since: new Date(work.stories.canceled.createdAt.getTime() - hourMs) });
      const after = await verified({ since: new Date(work.stories.failed.createdAt.getTime() + hourMs) });
      assert.deepEqual([before.status, before.orders], ['violated', 4]);
      assert.deepEqual([after.status, after.orders], ['ok', 0]);
    });

    it('reads one range of orders after the other, none twice and none left out', async () => {
      const store = createStore(opened.database);
      const requests = Array.from({ length: 2_500 }, () => store.requestOf());
      await store.accept(requests);
      const ids = requests.map(({ order }) => order.id);
      await work.sql('UPDATE orders SET version = 9 WHERE id = ANY($1::uuid[])', [ids]);
      const verdict = await verified();
      assert.equal(verdict.orders, 2_504);
      const { found, findings } = rowOf(verdict, 'events');
      assert.deepEqual([found, findings.length], [2_500, 20]);
      assert.match(toTable(verdict), /and 2 480 more/);
    });

    it('names what the ledger has otherwise', async () => {
      const { stories, ledger, ledgerUrl } = work;
      const { processed, canceled } = stories;
      const entryOf = (order: Order, partner: Entry['partner']): Entry => {
        const all = ledger.entries({ orderId: order.id, afterPosition: 0, limit: 10 });
        const entry = all.find((one) => one.partner === partner);
        assert.ok(entry);
        return entry;
      };
      const move = (entry: Entry, state: Entry['state']) =>
        ledger.inTurn(() => ledger.move(entry.partner, entry.key, state, 1));
      const add = (entry: NewEntry) => ledger.inTurn(() => ledger.add(entry));
      const held = entryOf(processed, 'payments');
      const undone = entryOf(canceled, 'payments');

      await move(held, 'voided');
      const voided = await verified({ ledgerUrl });
      await move(held, 'authorized');
      assertNamed(voided, 'ledger: processed', processed.id);
      assertNamed(voided, 'ledger: effects', processed.id);

      await move(undone, 'authorized');
      const left = await verified({ ledgerUrl });
      await move(undone, 'voided');
      assertNamed(left, 'ledger: canceled', canceled.id);

      await work.sql('UPDATE orders SET amount = 1 WHERE id = $1', [processed.id]);
      assertNamed(await verified({ ledgerUrl }), 'ledger: processed', processed.id);
      await work.restore();
      assert.equal((await verified({ ledgerUrl })).status, 'ok');

      await add({ ...held, key: 'another', reference: 'another', state: 'voided' });
      await add({ ...entryOf(processed, 'mail'), key: 'another' });
      await add({ ...held, key: 'of nobody', orderId: 'nobody', reference: 'of nobody' });
      const doubled = await verified({ ledgerUrl });
      assertNamed(doubled, 'ledger: once', processed.id);
      assertNamed(doubled, 'ledger: mail', processed.id);
      assertNamed(doubled, 'ledger: unknown', 'nobody');

      // Several pages, whose borders lie between two entries of one order.
      const strangers = Array.from({ length: 1_100 }, (_, index) => `stranger-${index}`);
      for (const orderId of strangers) {
        for (const partner of ['payments', 'carrier', 'mail'] as const)
          await add({ ...held, partner, orderId, key: orderId });
      }
      const strange = rowOf(await verified({ ledgerUrl }), 'ledger: unknown');
      assert.equal(strange.found, strangers.length + 1);
      assert.ok(strange.checked > 3 * strangers.length);
    });
  });
}
