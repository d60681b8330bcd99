// deploy/terraform/database-users.js on a real server: it may be repeated, and who works may do what docs/security.md says.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import pg from 'pg';
import type { Postgres } from '../support/postgres.ts';
import { startServer } from '../support/world.ts';
import { root, textOf } from './services.ts';

const script = textOf('deploy/terraform/database-users.js');
const password = "it's a pass\\word";

describe('the users of the database on AWS', () => {
  let postgres: Postgres;
  before(async () => {
    postgres = await startServer();
  });
  after(async () => await postgres.stop());

  it('are made once, may be made again, and work with what they may', async () => {
    const owner = await postgres.createDatabase();
    const setUp = new pg.Client({ connectionString: owner });
    await setUp.connect();
    // On RDS it is the owner of an empty database.
    await setUp.query('CREATE ROLE orderly_owner; DROP SCHEMA public CASCADE; CREATE SCHEMA public');
    await setUp.end();
    const env = { ...process.env, DATABASE_URL: owner, APP_PASSWORD: password };
    const node = async (...args: readonly string[]) =>
      await promisify(execFile)(process.execPath, args, { cwd: root, env });
    const users = (when: string) => node('--input-type=module', '--eval', script, '--', when);
    for (const _ of ['the first release', 'the next one']) {
      await users('before');
      await node('src/main/cli.ts', 'migrate');
      await users('after');
    }

    const url = new URL(owner);
    const { hostname: host, port, pathname } = url;
    const app = new pg.Client({ host, port: Number(port), database: pathname.slice(1), user: 'orderly_app', password });
    await app.connect();
    try {
      for (const statement of ['SELECT FROM events', 'DELETE FROM jobs', 'UPDATE orders SET status = status'])
        await app.query(statement);
      const { rows } = await app.query("SELECT pg_has_role('pg_monitor', 'MEMBER') AS sees");
      assert.deepEqual(rows, [{ sees: true }], 'transactions of others that stay open');
      for (const statement of ['DELETE FROM events', 'DELETE FROM orders', 'CREATE TABLE mine (id int)'])
        await assert.rejects(app.query(statement), /permission denied/, statement);
    } finally {
      await app.end();
    }
  });

  it('has the rights that docs/security.md prints, in the same words', () => {
    const printed = textOf('docs/security.md');
    for (const [revoke = ''] of script.matchAll(/REVOKE [A-Z, ]+ ON [a-z_, ]+ FROM orderly_app/g))
      assert.ok(printed.includes(`${revoke};`), revoke);
  });
});
