import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Database } from '../../src/io/postgres/database.ts';
import { readGauges } from '../../src/io/postgres/gauges.ts';
import type { Postgres } from '../support/postgres.ts';
import { connect } from '../support/store.ts';
import { startServer } from '../support/world.ts';

const asked = { jobs: ['payment', 'mail'], consumers: ['payment', 'search'], readers: ['relay', 'analytics'] };

describe('the gauges of the database', { timeout: 60_000 }, () => {
  let postgres: Postgres;
  let database: Database;
  before(async () => {
    postgres = await startServer();
    database = connect(await postgres.createDatabase());
  });
  after(async () => {
    await database.close();
    await postgres.stop();
  });

  const read = async () =>
    new Map(
      (await readGauges(database, asked)).map(([name, labels, value]) => [
        `${name} ${Object.values(labels).join(' ')}`.trim(),
        value,
      ]),
    );

  it('count jobs by what they wait for, and only what is due and free makes the oldest one old', async () => {
    const job = (due: string, lease: string, created: string) =>
      `(gen_random_uuid(), 1, 'payment', 'OrderCreatedV1', now() + interval '${due}', ${lease},
        CASE WHEN ${lease} IS NOT NULL THEN gen_random_uuid() END, now() - interval '${created}')`;
    const leased = "now() + interval '9 s'";
    await database.query(
      `INSERT INTO jobs (order_id, version, consumer, event_type, due_at, lease_until, token, created_at) VALUES
        ${job('-100 s', 'NULL', '100 s')}, ${job('-50 s', "now() - interval '1 s'", '1 hour')},
        ${job('-9000 s', leased, '2 hours')}, ${job('900 s', 'NULL', '1 s')}`,
    );
    const found = await read();
    const expected = {
      ...{ 'jobs payment due': 2, 'jobs payment waiting': 1, 'jobs payment claimed': 1, 'jobs_stalled payment': 2 },
      ...{ 'jobs mail due': 0, 'job_oldest_due_seconds mail': 0, 'dead_letters_open search': 0 },
    };
    for (const [name, value] of Object.entries(expected)) assert.equal(found.get(name), value, name);
    const oldest = found.get('job_oldest_due_seconds payment') ?? 0;
    assert.ok(oldest >= 100 && oldest < 160, `${oldest}`);
  });

  it('count what people hold back, until its time is over', async () => {
    await database.query(
      `INSERT INTO pauses (kind, name, reason, at, until) VALUES ('consumer', 'payment', 'x', now(), NULL),
        ('consumer', 'search', 'x', now(), now() - interval '1 s'), ('order', 'o', 'x', now(), now() + interval '1 hour')`,
    );
    const found = await read();
    const counts = ['consumer', 'partner', 'order'].map((kind) => found.get(`paused ${kind}`));
    assert.deepEqual(counts, [1, 0, 1]);
  });

  it('tell how far each reader of the event log is behind, its gaps included', async () => {
    await database.query(
      `INSERT INTO events (id, order_id, version, type, data, correlation_id, time)
       SELECT gen_random_uuid(), gen_random_uuid(), 1, 'OrderCreatedV1', '{}', 'c', now() - interval '30 s'
       FROM generate_series(1, 10)`,
    );
    await database.query(`UPDATE cursors SET read_to = 10, gaps = '{[3,5)}' WHERE reader = 'relay'`);
    await database.query(`UPDATE cursors SET read_to = 10 WHERE reader = 'analytics'`);
    const found = await read();
    assert.equal(found.get('unread_events relay'), 2);
    assert.equal(found.get('unread_events analytics'), 0);
    assert.equal(found.get('unread_oldest_seconds analytics'), 0);
    assert.ok((found.get('unpublished_oldest_seconds') ?? 0) >= 30);
  });

  it('show a transaction that somebody keeps open', async () => {
    await database.transaction(async (query) => {
      await query('SELECT pg_sleep(1)');
      assert.ok(((await read()).get('database_oldest_transaction_seconds') ?? 0) >= 1);
    });
    assert.ok(((await read()).get('database_size_bytes') ?? 0) > 1_000_000);
  });
});
