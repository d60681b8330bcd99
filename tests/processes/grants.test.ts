// The rights that docs/security.md gives each user of the database, as it prints them: enough for every role, and no
// more.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import pg from 'pg';
import { createClient } from '../support/client.ts';
import { quickSettings, slowestTest } from '../support/installation.ts';
import { type Postgres, startPostgres } from '../support/postgres.ts';
import { createProcesses, type Processes } from '../support/process.ts';
import { until } from '../support/until.ts';

const page = readFileSync(join(dirname(dirname(import.meta.dirname)), 'docs/security.md'), 'utf8');
const [once = '', afterMigrate = '', ...more] = [...page.matchAll(/```sql\n([\s\S]*?)```/g)].map(([, sql = '']) => sql);

describe('the rights in the database', slowestTest, () => {
  let postgres: Postgres;
  let processes: Processes;
  let database = '';
  before(async () => {
    postgres = await startPostgres({ settings: { fsync: 'off' } });
    processes = createProcesses();
    database = await postgres.createDatabase();
  });
  after(async () => {
    await processes.close();
    await postgres.stop();
  });

  async function run(url: string, sql: string): Promise<void> {
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    await client.query(sql).finally(() => client.end());
  }
  function as(user: string): string {
    const url = new URL(database);
    url.username = user;
    url.password = 'change-me';
    return url.href;
  }

  it('that the documentation prints are enough for every role, and let nobody do more', async () => {
    assert.deepEqual(more, []);
    await run(database, once);
    const DATABASE_URL = as('orderly_app');
    const own = { ...quickSettings, DATABASE_URL, PORT: 0, ORDERLY_DATA_DIR: join(processes.directory, 'data') };
    const migrated = await processes.run(['migrate'], { DATABASE_URL, MIGRATE_DATABASE_URL: as('orderly_owner') });
    assert.equal(migrated.code, 0, migrated.stderr);
    await run(as('orderly_owner'), afterMigrate);

    const orderly = await processes.start('start', own);
    const client = createClient(() => orderly.url);
    const scenarios = ['success', 'failure', 'flaky', 'fatal'] as const;
    const placed = await Promise.all(scenarios.map((scenario) => client.place({ scenario })));
    const statusOf = async (orderId = '') => (await client.read(orderId)).status;
    const ends = ['PROCESSED', 'CANCELED', 'PROCESSED', 'FAILED'];
    for (const [index, { orderId }] of placed.entries()) {
      await until(
        async () => (await statusOf(orderId)) === ends[index],
        `the end of the order for ${scenarios[index]}`,
      );
    }
    const failed = placed.at(-1)?.orderId ?? '';
    const post = async (path: string) => (await fetch(`${orderly.url}${path}`, { method: 'POST' })).status;
    assert.equal(await post(`/dlq/${failed}/reprocess`), 202);
    await until(async () => (await statusOf(failed)) === 'FAILED', 'the second failure');
    assert.equal(await post(`/orders/${failed}/cancel`), 200);
    const isFound = async () => (await (await fetch(`${orderly.url}/orders?limit=10`)).text()).includes(failed);
    await until(isFound, 'the order in the search');
    orderly.signal('SIGTERM');
    assert.equal(await orderly.exit(), 0, orderly.said());
    const refused = orderly.log().filter((line) => JSON.stringify(line).includes('permission denied'));
    assert.deepEqual(refused, []);

    const reindexed = await processes.run(['reindex'], own);
    assert.equal(reindexed.code, 0, reindexed.stderr);
    const verified = await processes.run(['verify'], { ...own, DATABASE_URL: as('orderly_audit') });
    assert.equal(verified.code, 0, verified.stdout + verified.stderr);

    const forbidden: [user: string, sql: string][] = [
      ['orderly_app', `UPDATE events SET type = type`],
      ['orderly_app', 'DELETE FROM audit_log'],
      ['orderly_app', 'DELETE FROM orders'],
      ['orderly_app', 'UPDATE schema_version SET version = 0'],
      ['orderly_app', 'CREATE TABLE more (id integer)'],
      ['orderly_app', 'DROP TABLE orders'],
      ['orderly_audit', 'DELETE FROM idempotency_keys'],
      ['orderly_audit', 'UPDATE orders SET status = status'],
    ];
    for (const [user, sql] of forbidden) {
      await assert.rejects(run(as(user), sql), { code: '42501' }, `${user}: ${sql}`);
    }
  });
});
