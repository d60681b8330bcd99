// Databases that this release cannot work on, or shares with others: what is said at the start, in one sentence.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Client } from 'pg';
import { failureOf } from '../../src/io/postgres/errors.ts';
import { schemaMistake } from '../../src/io/postgres/health.ts';
import { expectedVersion, migrate, schemaVersion } from '../../src/io/postgres/migrate.ts';
import { rightsMistake, surroundingsMistake } from '../../src/io/postgres/surroundings.ts';
import { subscribedTypes } from '../../src/main/open-database.ts';
import type { Postgres } from '../support/postgres.ts';
import { connect, createStore, startServer } from '../support/store.ts';

let postgres: Postgres;
before(async () => {
  postgres = await startServer();
});
after(() => postgres.stop());

async function administer(url: string, ...statements: readonly string[]): Promise<void> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    for (const statement of statements) await client.query(statement);
  } finally {
    await client.end();
  }
}

const nameOf = (url: string) => new URL(url).pathname.slice(1);
function as(url: string, user: string, name = nameOf(url)): string {
  const other = new URL(url);
  [other.username, other.password, other.pathname] = [user, 'secret', name];
  return other.href;
}

describe('a database', { timeout: 60_000 }, () => {
  it('where our role may only read is refused, and answers no request with a defect', async () => {
    const url = await postgres.createDatabase();
    await administer(
      url,
      "CREATE ROLE only_reader LOGIN PASSWORD 'secret'",
      'GRANT SELECT ON ALL TABLES IN SCHEMA public TO only_reader',
      'GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO only_reader',
    );
    const database = connect(as(url, 'only_reader'));
    const mistake = String(await schemaMistake(database, subscribedTypes));
    assert.match(
      mistake,
      /role only_reader lacks INSERT on orders, UPDATE on orders, INSERT on events and \d+ more: grant what/,
    );
    assert.equal(await schemaMistake(database, subscribedTypes, 'reads'), null);
    const { accept, requestOf } = createStore(database);
    await assert.rejects(accept([requestOf()]), (error) => failureOf(error) === 'absent');
    await database.close();
  });

  it('where our role lacks a right is refused, whichever table or sequence it is on', async () => {
    const url = await postgres.createDatabase();
    const everything = [
      'GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO worker',
      'GRANT SELECT, USAGE ON ALL SEQUENCES IN SCHEMA public TO worker',
    ];
    await administer(url, "CREATE ROLE worker LOGIN PASSWORD 'secret'", ...everything);
    const [owner, worker] = [connect(url), connect(as(url, 'worker'))];
    assert.equal(await rightsMistake(worker), null);
    // What an earlier release has left is used by nobody, and who migrates reads the version.
    const relations = await owner.query<{ name: string }>(
      `SELECT relname AS name FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'S')
       AND relname NOT LIKE '%_before_jobs' AND relname <> 'schema_version'`,
    );
    assert.ok(relations.length > 10);
    for (const { name } of relations) {
      await owner.query(`REVOKE ALL ON ${name} FROM worker`);
      assert.match(String(await rightsMistake(worker)), new RegExp(`role worker lacks SELECT on ${name}[,:]`), name);
      await administer(url, ...everything);
    }
    for (const [right, name] of [
      ['USAGE', 'events_position'],
      ['INSERT', 'jobs'],
      ['DELETE', 'idempotency_keys'],
    ]) {
      await owner.query(`REVOKE ${right} ON ${name} FROM worker`);
      assert.match(String(await rightsMistake(worker)), new RegExp(`lacks ${right} on ${name}: grant what`));
      await administer(url, ...everything);
    }
    await Promise.all([owner.close(), worker.close()]);
  });

  it('that cannot hold every text is refused', async () => {
    const url = await postgres.createDatabase();
    await administer(
      url,
      "CREATE DATABASE ascii TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE_PROVIDER libc LOCALE 'C'",
    );
    const other = new URL(url);
    other.pathname = 'ascii';
    const database = connect(other.href);
    assert.match(String(await surroundingsMistake(database, 'writes')), /encoded in SQL_ASCII.*ENCODING 'UTF8'/);
    await database.close();
  });

  it('whose search path leads nowhere is refused', async () => {
    const url = await postgres.createDatabase();
    await administer(url, `ALTER DATABASE ${nameOf(url)} SET search_path = nowhere`);
    const database = connect(url);
    assert.match(String(await surroundingsMistake(database, 'writes')), /search_path/);
    await database.close();
  });

  it('that others have tables of our names in is migrated all the same', async () => {
    const url = await postgres.createDatabase();
    await administer(
      url,
      'DROP SCHEMA public CASCADE',
      'CREATE SCHEMA public',
      'CREATE SCHEMA other',
      'CREATE TABLE other.schema_version (version text)',
    );
    const database = connect(url);
    assert.equal(await schemaVersion(database), 0);
    assert.equal(await migrate(database, subscribedTypes), expectedVersion());
    assert.equal(await schemaMistake(database, subscribedTypes), null);
    await database.close();
  });

  it('takes two installations, each in a schema of its own', async () => {
    const url = await postgres.createDatabase();
    await administer(
      url,
      "CREATE ROLE second LOGIN PASSWORD 'secret'",
      'CREATE SCHEMA second AUTHORIZATION second',
      'ALTER ROLE second SET search_path = second, public',
      'GRANT SELECT ON ALL TABLES IN SCHEMA public TO second',
    );
    const [first, second] = [connect(url), connect(as(url, 'second'))];
    assert.match(String(await schemaMistake(second, subscribedTypes)), /schema version 0/);
    await migrate(second, subscribedTypes);
    assert.equal(await schemaMistake(second, subscribedTypes), null);
    const request = createStore(second).requestOf();
    await createStore(second).accept([request]);
    assert.deepEqual(await first.query('SELECT id FROM orders'), []);
    assert.deepEqual(await second.query('SELECT id FROM orders'), [{ id: request.order.id }]);
    await Promise.all([first.close(), second.close()]);
  });
});
