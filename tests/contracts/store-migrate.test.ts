import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { Client } from 'pg';
import Postgrator from 'postgrator';
import type { OrderId } from '../../src/domain/order.ts';
import { checkDatabase, schemaMistake } from '../../src/io/postgres/health.ts';
import { expectedVersion, migrate, schemaVersion } from '../../src/io/postgres/migrate.ts';
import { lockOrder } from '../../src/io/postgres/orders.ts';
import { subscribedTypes } from '../../src/main/open-database.ts';
import { type Postgres, startPostgres } from '../support/postgres.ts';
import { authorized, connect, createStore } from '../support/store.ts';
import { until } from '../support/until.ts';

const root = dirname(dirname(import.meta.dirname));
let postgres: Postgres;
before(async () => {
  postgres = await startPostgres({ settings: { fsync: 'off' } });
});
after(() => postgres.stop());

describe('migrating a PostgreSQL server', { concurrency: true }, () => {
  const contentOf = async (url: string) => {
    const database = connect(url, 1);
    const read = (text: string) => database.query(text);
    const content = {
      tables: await read(
        `SELECT table_name, column_name, data_type, is_nullable, column_default FROM information_schema.columns
         WHERE table_schema = 'public' ORDER BY table_name, ordinal_position`,
      ),
      indexes: await read(`SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1`),
      versions: await read('SELECT * FROM schema_version ORDER BY version'),
      subscriptions: await read('SELECT consumer, event_type FROM subscriptions ORDER BY consumer, event_type'),
      jobs: await read('SELECT * FROM jobs ORDER BY order_id, version, consumer'),
      cursors: await read('SELECT reader, read_to, gaps::text FROM cursors ORDER BY reader'),
    };
    await database.close();
    return content;
  };

  it('refuses a database whose sequence is behind its events or their readers, with the command that mends it', async () => {
    const url = await postgres.createDatabase();
    const database = connect(url, 1);
    await migrate(database, subscribedTypes);
    const store = createStore(database);
    for (let count = 0; count < 3; count += 1) await store.placed();
    assert.equal(await schemaMistake(database, subscribedTypes), null);
    // As logical replication leaves it behind, and a restore without it.
    for (const [set, mended] of [
      [`SELECT setval('events_position', 2)`, 3],
      [`SELECT setval('events_position', 1, false)`, 3],
      [`UPDATE cursors SET read_to = 7 WHERE reader = 'relay'`, 7],
    ] as const) {
      await database.query(set);
      const mistake = String(await schemaMistake(database, subscribedTypes));
      const [command = ''] = /SELECT setval\('events_position', \d+\)/.exec(mistake) ?? [mistake];
      assert.equal(command, `SELECT setval('events_position', ${mended})`);
      await database.query(command);
      assert.equal(await schemaMistake(database, subscribedTypes), null);
    }
    await database.close();
  });

  it('refuses a database that lacks a subscription, until it is migrated', async () => {
    const url = await postgres.createDatabase();
    const database = connect(url, 1);
    await migrate(database, subscribedTypes.slice(1));
    assert.match(String(await schemaMistake(database, subscribedTypes)), /payment of OrderCreatedV1 .* migrate/);
    await migrate(database, subscribedTypes);
    assert.equal(await schemaMistake(database, subscribedTypes), null);
    await database.close();
  });

  it('finds its files wherever the checkout lies', async (test) => {
    const scratch = mkdtempSync(join(tmpdir(), 'orderly-checkout-'));
    test.after(() => rmSync(scratch, { recursive: true }));
    for (const name of ['orderly [v2]', '{a,b}', '+(a)', '!(a)', '@(a|b)?*', "it's #1"]) {
      const checkout = join(scratch, name);
      cpSync(join(root, 'src/io/postgres'), join(checkout, 'src/io/postgres'), { recursive: true });
      cpSync(join(root, 'src/engine'), join(checkout, 'src/engine'), { recursive: true });
      writeFileSync(join(checkout, 'package.json'), '{"type":"module"}');
      symlinkSync(join(root, 'node_modules'), join(checkout, 'node_modules'));
      const there = (await import(pathToFileURL(join(checkout, 'src/io/postgres/migrate.ts')).href)) as {
        migrate: typeof migrate;
      };
      const database = connect(await postgres.createDatabase(), 1);
      assert.equal(await there.migrate(database, subscribedTypes), expectedVersion(), name);
      assert.equal(await schemaVersion(database), expectedVersion(), name);
      await database.close();
    }
  });

  it('makes the schema and enters every subscription', async () => {
    const url = await postgres.createDatabase();
    const database = connect(url, 1);
    assert.equal(await schemaVersion(database), 0);
    assert.deepEqual(
      (await checkDatabase(database, subscribedTypes)).map(({ status }) => status),
      ['ok', 'failed'],
    );
    assert.equal(await migrate(database, subscribedTypes), expectedVersion());
    assert.equal(await schemaVersion(database), expectedVersion());
    assert.deepEqual(
      (await checkDatabase(database, subscribedTypes)).map(({ status }) => status),
      ['ok', 'ok'],
    );
    await database.close();
    const { subscriptions, cursors } = await contentOf(url);
    const names = subscriptions.map(({ consumer, event_type }) => `${consumer} ${event_type}`);
    assert.deepEqual(names, subscribedTypes.map(({ consumer, type }) => `${consumer} ${type}`).sort());
    assert.deepEqual(
      cursors.map(({ reader, read_to, gaps }) => `${reader} ${read_to} ${gaps}`),
      ['analytics 0 {}', 'relay 0 {}', 'search.elasticsearch 0 {}', 'search.postgres 0 {}'],
    );
  });

  it('changes nothing when it is run again, also while the system has gone on', async () => {
    const url = await postgres.createDatabase();
    const database = connect(url, 1);
    await migrate(database, subscribedTypes);
    const store = createStore(database);
    const [{ eventId }, done] = [await store.placed(), await store.placed()];
    await store.claimed('payment', eventId);
    await store.settleOnce(store.doneWith(await store.claimed('payment', done.eventId), authorized));
    const before = await contentOf(url);
    await migrate(database, subscribedTypes);
    await database.close();
    assert.deepEqual(await contentOf(url), before);
  });

  // The release before kept effects in a table of their own.
  const withOldEffects = async (effects: string) => {
    const database = connect(await postgres.createDatabase(), 1);
    await new Postgrator({
      driver: 'pg',
      migrationPattern: fileURLToPath(new URL('../../src/io/postgres/migrations/*.sql', import.meta.url)),
      schemaTable: 'schema_version',
      execQuery: async (text) => ({ rows: await database.query(text) }),
      execSqlScript: async (script) => void (await database.query(script)),
    }).migrate('006');
    await database.query(
      `INSERT INTO orders (id, status, payment, fulfillment, retry_count, amount, currency, country, items, user_id,
                           payment_scenario, correlation_id, version, created_at, updated_at)
       SELECT ('00000000-0000-7000-8000-00000000000' || nth)::uuid, 'PROCESSING', 'pending', 'none', 0, 1, 'EUR', 'US',
              '[]', 'u', 'success', 'c-1', 1, now(), now() FROM generate_series(1, 3) AS nth`,
    );
    await database.query(`INSERT INTO effects VALUES ${effects}`);
    return database;
  };
  const one = '00000000-0000-7000-8000-000000000001';
  const two = '00000000-0000-7000-8000-000000000002';
  const token = 'c0a8012e-5d0f-4c11-8f43-6f0f5f7e9a10';
  const at = '2026-11-21T07:00:00.000Z';

  it('moves the effects of every order into its row', async () => {
    const database = await withOldEffects(
      `('${one}', 'authorization', '${one}:authorization:2', 2, 'done', '${token}', '${at}', 'auth-1', '${at}'),
       ('${one}', 'booking', '${one}:booking:0', 0, 'unknown', '${token}', '${at}', null, null),
       ('${two}', 'booking', '${two}:booking:1', 1, 'stuck', '${token}', '${at}', 'book-1', null)`,
    );
    await migrate(database, subscribedTypes);
    const effectsOf = (id: string) =>
      database.transaction(async (query) => (await lockOrder(query, id as OrderId))?.effects);
    const common = { token, firstUsedAt: new Date(at) };
    const booking = { ...common, name: 'booking', expiresAt: null } as const;
    assert.deepEqual(await effectsOf(one), {
      authorization: {
        ...common,
        ...{ name: 'authorization', generation: 2, state: 'done', reference: 'auth-1', expiresAt: new Date(at) },
      },
      booking: { ...booking, generation: 0, state: 'unknown', reference: null },
    });
    assert.deepEqual(await effectsOf(two), {
      booking: { ...booking, generation: 1, state: 'stuck', reference: 'book-1' },
    });
    assert.deepEqual(await effectsOf('00000000-0000-7000-8000-000000000003'), {});
    await database.close();
  });

  it('refuses an effect under a key that nobody could undo it by any more, and leaves all as it was', async () => {
    const database = await withOldEffects(
      `('${one}', 'authorization', 'my own key', 0, 'done', '${token}', '${at}', 'auth-1', null)`,
    );
    await assert.rejects(migrate(database, subscribedTypes), /authorization of order .*0001 has the key my own key/);
    assert.equal(await schemaVersion(database), 6);
    assert.equal((await database.query('SELECT 1 FROM effects')).length, 1);
    await database.close();
  });

  it('takes turns when several processes migrate at once', async () => {
    const url = await postgres.createDatabase();
    const databases = Array.from({ length: 4 }, () => connect(url, 1));
    const versions = await Promise.all(databases.map((database) => migrate(database, subscribedTypes)));
    assert.deepEqual(versions, Array(4).fill(expectedVersion()));
    for (const database of databases) await database.close();
    const { versions: rows, cursors } = await contentOf(url);
    assert.equal(new Set(rows.map(({ version }) => version)).size, rows.length);
    assert.equal(cursors.length, 4);
  });

  it('waits for another migration for longer than any statement waits for a lock', async () => {
    const url = await postgres.createDatabase();
    const database = connect(url, 1);
    const another = new Client({ connectionString: url });
    await another.connect();
    await another.query('BEGIN');
    await another.query('SELECT pg_advisory_xact_lock(727001)');
    // Inside its transaction the other one would see the same activity for ever.
    const watcher = new Client({ connectionString: url });
    await watcher.connect();
    const migrating = migrate(database, subscribedTypes);
    // The limit of every other statement is two seconds.
    await until(
      async () =>
        (
          await watcher.query(
            `SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'advisory'
               AND clock_timestamp() - query_start > interval '2.2 seconds'`,
          )
        ).rowCount === 1,
      'a migration that has been waiting for more than two seconds',
    );
    await another.query('COMMIT');
    await Promise.all([another.end(), watcher.end()]);
    assert.equal(await migrating, expectedVersion());
    await database.close();
  });
});

describe('migrating to a release with a new subscription', () => {
  it('gives it the event of a writer that was open meanwhile', async () => {
    const url = await postgres.createDatabase();
    const database = connect(url, 2);
    await migrate(database, subscribedTypes);
    const store = createStore(database);
    const writer = new Client({ connectionString: url });
    await writer.connect();
    await writer.query('BEGIN');
    await writer.query(
      `WITH event AS (
         INSERT INTO events (id, order_id, version, type, data, correlation_id, time)
         VALUES (gen_random_uuid(), gen_random_uuid(), 1, 'OrderCreatedV1', '{}', 'c-1', now())
         RETURNING order_id, version, type
       )
       INSERT INTO jobs (order_id, version, consumer, event_type)
       SELECT e.order_id, e.version, s.consumer, e.type FROM event e JOIN subscriptions s ON s.event_type = e.type`,
    );
    const historian = { consumer: 'historian', type: 'OrderCreatedV1', start: 'beginning' } as const;
    const migrating = migrate(database, [...subscribedTypes, historian]);
    await until(
      async () =>
        (
          await writer.query(
            `SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'subscriptions'::regclass AND mode = 'AccessExclusiveLock'`,
          )
        ).rowCount === 1,
      'a migration that waits for the writer',
    );
    await writer.query('COMMIT');
    await writer.end();
    await migrating;
    await store.placed();
    const [row] = await database.query(
      `SELECT (SELECT count(*) FROM events) AS events, (SELECT count(*) FROM jobs WHERE consumer = 'historian') AS jobs`,
    );
    assert.deepEqual(row, { events: 2, jobs: 2 });
    await database.close();
  });

  it('starts it where it declares: with a job for every event there is, or with the events to come', async () => {
    const database = connect(await postgres.createDatabase(), 2);
    await migrate(database, subscribedTypes);
    const store = createStore(database);
    const { eventId: old } = await store.placed();
    const type = 'OrderCreatedV1';
    await migrate(database, [
      ...subscribedTypes,
      { consumer: 'historian', type, start: 'beginning' },
      { consumer: 'newcomer', type, start: 'now' },
    ]);
    const { eventId: young } = await store.placed();
    const jobsOf = async (consumer: string) =>
      (
        await database.query<{ id: string }>(
          'SELECT e.id FROM jobs j JOIN events e USING (order_id, version) WHERE j.consumer = $1 ORDER BY e.position',
          [consumer],
        )
      ).map(({ id }) => id);
    assert.deepEqual(await jobsOf('historian'), [old, young]);
    assert.deepEqual(await jobsOf('newcomer'), [young]);
    await database.close();
  });
});

// Orders of release 0.1, each with the events of its types; the ids are its number and the version.
const firstRelease = '006';
describe('migrating a database of release 0.1', () => {
  const orderId = (order: number) => `00000000-0000-7000-8000-00000000000${order}`;
  const eventId = (order: number, version: number) => `00000000-0000-7000-8000-0000000000${order}${version}`;

  async function openFirstRelease() {
    const database = connect(await postgres.createDatabase(), 2);
    await database.transaction(async (query) => {
      const postgrator = new Postgrator({
        driver: 'pg',
        migrationPattern: `${import.meta.dirname}/../../src/io/postgres/migrations/*.sql`,
        schemaTable: 'schema_version',
        execQuery: async (text) => ({ rows: await query(text) }),
        execSqlScript: async (script) => void (await query(script)),
      });
      await postgrator.migrate(firstRelease);
    });
    const { query } = database;
    const place = async (order: number, types: readonly string[], status = 'PENDING') => {
      await query(
        `INSERT INTO orders (id, status, payment, fulfillment, retry_count, amount, currency, country, items, user_id,
                             payment_scenario, correlation_id, version, created_at, updated_at)
         VALUES ($1, $2, 'none', 'none', 0, 1, 'EUR', 'US', '[]', 'u', 'success', 'c-1', $3, now(), now())`,
        [orderId(order), status, types.length],
      );
      for (const [nth, type] of types.entries()) {
        await query(
          `INSERT INTO events (id, order_id, version, type, data, correlation_id, time)
           VALUES ($1, $2, $3, $4, '{}', 'c-1', now())`,
          [eventId(order, nth + 1), orderId(order), nth + 1, type],
        );
      }
    };
    const deliver = (consumer: string, order: number, version: number, state: string) =>
      query(
        `INSERT INTO deliveries (event_id, consumer, order_id, state, epoch, attempt, takeovers, due_at)
         VALUES ($1, $2, $3, $4, 0, 1, 0, CASE WHEN $4 IN ('running', 'waiting') THEN now() END)`,
        [eventId(order, version), consumer, orderId(order), state],
      );
    const owe = (order: number, version: number) =>
      query('INSERT INTO outbox (order_id, version, event_id, lane) VALUES ($1, $2, $3, 0)', [
        orderId(order),
        version,
        eventId(order, version),
      ]);
    const park = (consumer: string, order: number | null, version: number) =>
      query(
        `INSERT INTO dead_letters (id, order_id, consumer, delivery_id, event_id, event_type, failure_class, code, message, attempts, failed_at)
         VALUES (gen_random_uuid(), $1, $2, $3, $3, 'OrderCreatedV1', 'non-retryable', 'x', 'y', 1, now())`,
        [order === null ? null : orderId(order), consumer, eventId(order ?? 9, version)],
      );
    // The events that a reader has not handled, by order and version.
    const unhandled = async (reader: string) =>
      (
        await query<{ event: string }>(
          `SELECT right(e.order_id::text, 1) || '.' || e.version AS event FROM cursors c
           JOIN events e ON e.position > c.read_to OR e.position <@ c.gaps WHERE c.reader = $1 ORDER BY 1`,
          [reader],
        )
      ).map(({ event }) => event);
    return { database, query, place, deliver, owe, park, unhandled };
  }

  it('leaves each reader of the log what it had not handled, and nothing else', async () => {
    const { database, query, place, deliver, owe, park, unhandled } = await openFirstRelease();
    await place(2, ['OrderCreatedV1', 'PaymentAuthorizedV1', 'OrderReprocessedV1']);
    await place(1, ['OrderCreatedV1', 'PaymentAuthorizedV1']);
    await place(3, ['OrderCreatedV1']);
    await place(4, ['OrderCreatedV1']);
    await owe(1, 2);
    await owe(3, 1);
    for (const order of [1, 2]) await deliver('analytics', order, 1, 'done');
    // 2.3 nobody was given yet; 3.1 is under way, 4.1 waits for a person.
    await deliver('analytics', 3, 1, 'running');
    await deliver('analytics', 4, 1, 'dead');
    await park('analytics', 4, 1);
    // Documents: of order 1 as it is, of order 2 an older one, of order 3 none, of order 4 a refused one.
    const document = (order: number, version: number) =>
      query(`INSERT INTO order_documents (order_id, version, created_at, words) VALUES ($1, $2, now(), '')`, [
        orderId(order),
        version,
      ]);
    await document(1, 2);
    await document(2, 1);
    await deliver('search', 2, 3, 'waiting');
    await deliver('search', 4, 1, 'dead');
    await park('search', 4, 1);
    // A message that could not be read.
    await park('search', null, 1);
    await deliver('payment', 4, 1, 'waiting');

    await migrate(database, subscribedTypes);
    assert.deepEqual(await unhandled('relay'), ['1.2', '3.1']);
    assert.deepEqual(await unhandled('analytics'), ['2.3', '3.1']);
    assert.deepEqual(await unhandled('search.postgres'), ['2.3', '3.1']);
    assert.equal((await unhandled('search.elasticsearch')).length, 7, 'an engine that was not used finds the past');
    const deadLetters = await query<{ consumer: string }>(
      'SELECT consumer FROM dead_letters WHERE closed_at IS NULL ORDER BY 1',
    );
    assert.deepEqual(
      deadLetters.map(({ consumer }) => consumer),
      ['analytics', 'search'],
    );
    const rows = await query(
      'SELECT FROM events a JOIN events b USING (order_id) WHERE a.version < b.version AND a.position > b.position',
    );
    assert.deepEqual(rows, [], 'versions of an order whose positions do not rise');
    const store = createStore(database);
    await store.placed();
    assert.equal((await unhandled('relay')).length, 3, 'what comes now is behind all of that');
    assert.equal(await schemaMistake(database, subscribedTypes), null);
    await database.close();
  });

  it('leaves a search engine outside what it was not given', async () => {
    const { database, query, place, deliver, unhandled } = await openFirstRelease();
    await place(1, ['OrderCreatedV1', 'PaymentAuthorizedV1']);
    await place(2, ['OrderCreatedV1']);
    await place(3, ['OrderCreatedV1']);
    await deliver('search', 1, 1, 'skipped');
    await deliver('search', 1, 2, 'done');
    await deliver('search', 2, 1, 'waiting');
    await query(`INSERT INTO watermarks (consumer, type, xid) VALUES ('search', 'OrderCreatedV1', '0')`);
    await migrate(database, subscribedTypes);
    assert.deepEqual(await unhandled('search.elasticsearch'), ['2.1', '3.1']);
    assert.equal((await unhandled('search.postgres')).length, 4);
    await database.close();
  });

  it('takes a row below the watermark for one that was handled and removed since', async () => {
    const { database, query, place, unhandled } = await openFirstRelease();
    await place(1, ['OrderCreatedV1']);
    await query(
      `INSERT INTO watermarks (consumer, type, xid) SELECT 'analytics', 'OrderCreatedV1', max(xid) FROM (SELECT xid FROM events) AS e`,
    );
    await place(2, ['OrderCreatedV1']);
    await migrate(database, subscribedTypes);
    assert.deepEqual(await unhandled('analytics'), ['2.1']);
    await database.close();
  });

  it('makes a job of everything that a consumer still owes, and of nothing else', async () => {
    const { database, query, place, deliver, park } = await openFirstRelease();
    await place(1, ['OrderCreatedV1', 'PaymentAuthorizedV1', 'FulfillmentScheduledV1'], 'PENDING');
    await place(2, ['OrderCreatedV1']);
    await place(3, ['OrderCreatedV1']);
    await place(4, ['OrderCreatedV1', 'OrderFailedV1']);
    await place(5, ['OrderCreatedV1']);
    const mark = (consumer: string, type: string) =>
      query(`INSERT INTO watermarks (consumer, type, xid) VALUES ($1, $2, '0')`, [consumer, type]);
    for (const { consumer, type } of subscribedTypes) await mark(consumer, type);
    await deliver('payment', 1, 1, 'done');
    await deliver('fulfillment', 1, 2, 'done');
    await deliver('notification', 1, 3, 'done');
    await deliver('notification', 4, 2, 'skipped');
    await deliver('payment', 2, 1, 'waiting');
    await query(
      `UPDATE deliveries SET attempt = 2, epoch = 1, due_at = now() + interval '1 hour', waiting_since = now() WHERE event_id = $1`,
      [eventId(2, 1)],
    );
    await deliver('payment', 3, 1, 'running');
    await query('UPDATE deliveries SET token = gen_random_uuid(), takeovers = 4 WHERE event_id = $1', [eventId(3, 1)]);
    await deliver('payment', 4, 1, 'dead');
    await query('UPDATE deliveries SET epoch = 2 WHERE event_id = $1', [eventId(4, 1)]);
    await park('payment', 4, 1);
    await park('payment', null, 1);

    await migrate(database, subscribedTypes);
    const jobs = await query(
      `SELECT right(order_id::text, 1) || '.' || version || ' ' || consumer AS job, event_type, epoch, attempt, takeovers,
              token IS NOT NULL AS is_held, coalesce(lease_until, due_at) <= clock_timestamp() AS is_due,
              waiting_since IS NOT NULL AS is_deferred
       FROM jobs ORDER BY 1`,
    );
    const none = { event_type: 'OrderCreatedV1', epoch: 0, takeovers: 0, is_held: false, is_deferred: false };
    assert.deepEqual(jobs, [
      { ...none, job: '2.1 payment', epoch: 1, attempt: 2, is_due: false, is_deferred: true },
      { ...none, job: '3.1 payment', attempt: 1, takeovers: 4, is_held: true, is_due: true },
      { ...none, job: '5.1 payment', attempt: 0, is_due: true },
    ]);
    const deadLetters = await query('SELECT order_id, version, consumer, epoch FROM dead_letters');
    assert.deepEqual(deadLetters, [{ order_id: orderId(4), version: 1, consumer: 'payment', epoch: 2 }]);
    const mails = await query('SELECT consumer, event_id, outcome FROM attempts');
    assert.deepEqual(mails, [{ consumer: 'notification', event_id: eventId(1, 3), outcome: 'done' }]);
    await assert.rejects(
      query('SELECT FROM deliveries'),
      /does not exist/,
      'a process of that release must fail loudly',
    );
    await migrate(database, subscribedTypes);
    const [{ count } = { count: 0 }] = await query<{ count: number }>('SELECT count(*) FROM jobs');
    assert.equal(count, 3);
    await database.close();
  });
});
