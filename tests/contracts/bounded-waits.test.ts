// How long anybody waits for the database at most: for its answer, and for a connection.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { Client } from 'pg';
import { openEmbedded } from '../../src/io/postgres/embedded.ts';
import { failureOf, isCrowded } from '../../src/io/postgres/errors.ts';
import type { Postgres } from '../support/postgres.ts';
import { silentLog } from '../support/silent-log.ts';
import { connect, startServer } from '../support/store.ts';

describe('a statement on a PostgreSQL server', { timeout: 60_000 }, () => {
  let postgres: Postgres;
  before(async () => {
    postgres = await startServer();
  });
  after(() => postgres.stop());

  it('is ended there in time, whatever the role says, alone and among others', async () => {
    const url = await postgres.createDatabase();
    const client = new Client({ connectionString: url });
    await client.connect();
    const limits = ['statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout'];
    for (const limit of limits) await client.query(`ALTER ROLE CURRENT_USER SET ${limit} = 0`);
    const database = connect(url);
    try {
      const text = 'SELECT name, setting::int AS ms FROM pg_settings WHERE name = ANY($1) ORDER BY name';
      type Limit = { name: string; ms: number };
      const expected = [
        { name: 'idle_in_transaction_session_timeout', ms: 10_000 },
        { name: 'lock_timeout', ms: 2_000 },
        { name: 'statement_timeout', ms: 10_000 },
      ];
      assert.deepEqual(await database.query<Limit>(text, [limits]), expected);
      assert.deepEqual(await database.once<Limit>(text, [limits]), expected);
      assert.deepEqual(await database.transaction((query) => query<Limit>(text, [limits])), expected);
    } finally {
      await database.close();
      await client.query('ALTER ROLE CURRENT_USER RESET ALL').finally(() => client.end());
    }
  });
});

describe('the one connection of the embedded database', { timeout: 60_000 }, () => {
  it('is waited for no longer than its bound, and then nothing was sent', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'orderly-bounded-'));
    const database = await openEmbedded({ directory, log: silentLog, turnMs: 50 });
    try {
      const { promise: released, resolve: release } = Promise.withResolvers<void>();
      const holding = database.transaction(async (query) => {
        await query('SELECT 1');
        await released;
      });
      await assert.rejects(database.query('SELECT 1'), (error) => isCrowded(error) && failureOf(error) === 'absent');
      release();
      await holding;
      assert.deepEqual(await database.query('SELECT 1 AS one'), [{ one: 1 }]);
    } finally {
      await database.close();
      rmSync(directory, { recursive: true });
    }
  });
});
