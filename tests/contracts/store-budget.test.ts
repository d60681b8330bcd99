// What one order costs the database in written rows, counted by PostgreSQL itself while the real engine
// brings orders from their request to PROCESSED.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { isRefusal } from '../../src/domain/refusals.ts';
import { silentObserver } from '../../src/engine/observer.ts';
import { openLedger } from '../../src/io/partners/ledger.ts';
import { createLocalPartners } from '../../src/io/partners/local.ts';
import { createStage } from '../../src/io/partners/stage.ts';
import type { Database } from '../../src/io/postgres/database.ts';
import { createPostgresSearch } from '../../src/io/postgres/documents.ts';
import { createSystem } from '../../src/io/system.ts';
import { allRoles, createEngine } from '../../src/main/wire.ts';
import { createTestBus } from '../support/bus.ts';
import { unread } from '../support/invariants.ts';
import type { Postgres } from '../support/postgres.ts';
import { silentLog } from '../support/silent-log.ts';
import { connect, startServer } from '../support/store.ts';
import { until } from '../support/until.ts';

// Where a slot is free: 4 at accept (key, order, event, job), 4 per core step (job, order, event and the next job), 2 for
// the mail (end, attempt), a document or two, and shares of lines and cursors that many orders have in common. Where
// none is, the claim of a core step writes job and order once more, and that of the mail its job.
const writesPerOrderMax = 17;
// Fewer than make a burst, which is accepted before it is worked on.
const orders = 240;
// What no delay can raise: an order, its effects and claims included, is written when it is placed, authorized and booked.
const exactly: Readonly<Record<string, number>> = { idempotency_keys: 1, orders: 3, events: 3, jobs: 6, attempts: 1 };
// Of the updates of orders: without an index on a column that changes, and with room left in the pages, some 0.9.
const hotShareMin = 0.7;
// A claim that had to be made twice.
const tolerance = 0.2;
// These are written per second and process, whatever the number of orders.
const perProcess = ['cursors', 'dependencies'];

describe('the budget of written rows', () => {
  let postgres: Postgres;
  let counting: Database;
  let url: string;
  const directory = mkdtempSync(join(tmpdir(), 'orderly-budget-'));
  before(async () => {
    postgres = await startServer();
    url = await postgres.createDatabase();
    counting = connect(url, 1);
  });
  after(async () => {
    await counting.close();
    await postgres.stop();
    rmSync(directory, { recursive: true });
  });

  const writesByTable = async () => {
    await counting.query('SELECT pg_stat_force_next_flush()');
    const rows = await counting.query<{ name: string; writes: number }>(
      `SELECT relname::text AS name, n_tup_ins + n_tup_upd + n_tup_del AS writes FROM pg_stat_user_tables
       WHERE schemaname = 'public'`,
    );
    return new Map(rows.map(({ name, writes }) => [name, writes]));
  };

  it('is kept from a request with a key to PROCESSED, mail, search and analytics included', async () => {
    const system = createSystem();
    const ledger = openLedger({ directory });
    const database = connect(url);
    const engine = createEngine({
      database,
      bus: createTestBus(),
      knowsAllWriters: false,
      search: createPostgresSearch(database),
      partners: createLocalPartners({ ledger, stage: createStage(), system }),
      simulatedPartners: true,
      settings: {
        maxRetries: 3,
        retryDelayMs: 10,
        retryDelayMsMax: 100,
        maxWaitMs: 60_000,
        failureProbability: 0,
        processingDelayMs: 0,
        timeoutMs: 2_000,
        leaseMs: 30_000,
        // A slot for each.
        concurrency: orders,
      },
      roles: allRoles,
      retention: { keysHours: 168, rowsDays: 30 },
      observer: silentObserver,
      system,
      log: silentLog,
    });
    const before = await writesByTable();
    await engine.start();
    const placed = Array.from({ length: orders }, async (_, nth) => {
      const command = { customerEmail: 'a@example.com', amount: 1_999 };
      const key = `budget ${nth}`;
      const input = { command, received: command, key, correlationId: 'c-1', traceparent: null };
      const answer = await engine.desk.place(input);
      assert.ok(!isRefusal(answer));
    });
    await Promise.all(placed);
    await until(async () => {
      const rows = await counting.query<Record<'processed' | 'owed' | 'mailed' | 'found', number>>(
        `SELECT (SELECT count(*) FROM orders WHERE status = 'PROCESSED') AS processed,
                (SELECT count(*) FROM (${unread}) AS unread) AS owed,
                (SELECT count(*) FROM attempts WHERE consumer = 'notification' AND outcome = 'done') AS mailed,
                (SELECT count(*) FROM order_documents WHERE version = 3) AS found`,
      );
      const { processed, owed, mailed, found } = rows[0] ?? {};
      const isOver = processed === orders && owed === 0 && mailed === orders && found === orders;
      if (!isOver) throw new Error(JSON.stringify(rows[0]));
      return true;
    }, `${orders} orders PROCESSED, published, told to their customers and counted`);
    await engine.stop(1_000);
    await database.close();
    ledger.close();

    // A backend hands its counts over when it ends at the latest.
    await until(async () => {
      const others = await counting.query(
        `SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`,
      );
      return others.length === 0;
    }, 'the end of all other connections');
    const after = await writesByTable();
    const perOrder = [...after]
      .filter(([name]) => !perProcess.includes(name))
      .map(([name, writes]) => ({ name, each: (writes - (before.get(name) ?? 0)) / orders }))
      .filter(({ each }) => each > 0);
    const sum = perOrder.reduce((total, { each }) => total + each, 0);
    const table = perOrder.map(({ name, each }) => `${name} ${each.toFixed(2)}`).join(', ');
    assert.ok(sum <= writesPerOrderMax, `${sum.toFixed(2)} writes per order: ${table}`);
    for (const { name, each } of perOrder) {
      assert.ok(each <= (exactly[name] ?? writesPerOrderMax) + tolerance, `${name} is written too often: ${table}`);
    }
    const [updates] = await counting.query<{ share: number }>(
      `SELECT n_tup_hot_upd::float8 / n_tup_upd AS share FROM pg_stat_user_tables WHERE relname = 'orders'`,
    );
    assert.ok((updates?.share ?? 0) > hotShareMin, `of the updates of orders ${updates?.share} were HOT`);
    assert.ok(sum > 14, `so few writes cannot be all: ${sum.toFixed(2)}: ${table}`);
  });
});
