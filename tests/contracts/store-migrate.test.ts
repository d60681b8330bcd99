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
import { connect, createStore } from '../support/store.ts';
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
      watermarks: await read('SELECT consumer, type, xid::text FROM watermarks ORDER BY consumer, type'),
      lanes: await read('SELECT lane FROM relay_lanes ORDER BY lane'),
    };
    await database.close();
    return content;
  };

  it("refuses a database whose watermarks count another server's transactions", async () => {
    const url = await postgres.createDatabase();
    const database = connect(url, 1);
    await migrate(database, subscribedTypes);
    assert.equal(await schemaMistake(database, subscribedTypes), null);
    // What a logical dump of an older server leaves behind.
    await database.query(`UPDATE watermarks SET xid = '4000000000'`);
    assert.match(String(await schemaMistake(database, subscribedTypes)), /restored from a logical dump/);
    await database.close();
  });

  it('refuses a database that lacks the watermark of a subscription, until it is migrated', async () => {
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
    const { watermarks, lanes } = await contentOf(url);
    const names = watermarks.map(({ consumer, type }) => `${consumer} ${type}`);
    assert.deepEqual(names, subscribedTypes.map(({ consumer, type }) => `${consumer} ${type}`).sort());
    assert.equal(lanes.length, 16);
  });

  it('changes nothing when it is run again, also while the system has gone on', async () => {
    const url = await postgres.createDatabase();
    const database = connect(url, 1);
    await migrate(database, subscribedTypes);
    const store = createStore(database);
    const { eventId } = await store.placed();
    await store.claimed('payment', eventId);
    await store.inbox.missed('payment', 'OrderCreatedV1', 0, 10);
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
    const { versions: rows, lanes } = await contentOf(url);
    assert.equal(new Set(rows.map(({ version }) => version)).size, rows.length);
    assert.equal(lanes.length, 16);
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

// Alone on its server: an open transaction of anybody, in any database of it, holds the snapshots back.
describe('migrating to a release with a new subscription', () => {
  it('starts it where it declares: at the first fact, or behind those that are there', async () => {
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
    const missedBy = async (consumer: string) => (await store.inbox.missed(consumer, type, -60_000, 10)).eventIds;
    assert.deepEqual(await missedBy('historian'), [old, young]);
    assert.deepEqual(await missedBy('newcomer'), [young]);
    await database.close();
  });
});
