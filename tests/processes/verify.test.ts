// `npm run orderly -- verify` as its operators meet it: what it says and ends with, on a system that works,
// one that is stopped, and one that somebody has broken by hand.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { after, before, describe, it } from 'node:test';
import pg from 'pg';
import type { Verdict } from '../../src/main/verify-report.ts';
import { createClient, startLoad } from '../support/client.ts';
import { inInstallation, quickSettings, slowestTest } from '../support/installation.ts';
import { type Postgres, startPostgres } from '../support/postgres.ts';
import { createProcesses, type Ended, findPort, type Processes } from '../support/process.ts';

// One sentence on one line, nothing else, and 2 for whoever called it.
function assertRefused({ code, stdout, stderr }: Ended, sentence: RegExp): void {
  assert.deepEqual({ code, stdout }, { code: 2, stdout: '' }, stderr);
  assert.match(stderr, /^[^\n]+\.\n$/);
  assert.match(stderr, sentence);
}

const looks = 4;

describe('verify as a command', slowestTest, () => {
  let postgres: Postgres;
  let processes: Processes;
  before(async () => {
    postgres = await startPostgres({ settings: { fsync: 'off' } });
    processes = createProcesses();
  });
  after(async () => {
    await postgres.stop();
    await processes.close();
  });

  it('finds nothing on a system under load, then names what somebody has broken', async () => {
    const empty = await postgres.createDatabase();
    assertRefused(await processes.run(['verify'], { DATABASE_URL: empty }), /schema version 0.*migrate/);
    await inInstallation(
      postgres,
      {},
      async ({ processes: own, databaseUrl, sql, client, sandbox, start, audited }) => {
        const settings = { DATABASE_URL: databaseUrl };
        const verify = (...args: string[]) => own.run(['verify', ...args], settings);
        const ledger = ['--ledger', sandbox().url];
        assert.equal((await own.run(['migrate'], settings)).code, 0);
        const nothing = await verify('--json');
        assert.deepEqual([nothing.code, (JSON.parse(nothing.stdout) as Verdict).orders], [0, 0]);

        await start({ ORDER_WORKER_PROCESSING_DELAY_MS: 20 });
        const load = startLoad(client, { scenarios: ['success', 'flaky', 'failure', 'lost-answer', 'fatal'] });
        for (let look = 1; look <= looks; look += 1) {
          await load.more(15);
          const { code, stdout, stderr } = await verify(...ledger);
          assert.deepEqual({ code, stderr }, { code: 0, stderr: '' }, stdout);
          assert.match(
            stdout,
            /^Checked the database .*\.\n\d+ orders in .*\n[\s\S]* events +\d+ orders +– +ok\n[\s\S]*promises kept\.\n$/,
          );
        }
        await load.stop();
        await audited();
        const clean = await verify('--json', ...ledger);
        const verdict = JSON.parse(clean.stdout) as Verdict;
        assert.deepEqual([clean.code, clean.stderr, verdict.status], [0, '', 'ok']);
        assert.equal(verdict.orders, client.acknowledged.size);

        const [order] = await sql<{ id: string }>(`SELECT id FROM orders WHERE status = 'PROCESSED' LIMIT 1`);
        await sql('UPDATE orders SET version = 9 WHERE id = $1', [order?.id]);
        const table = await verify();
        assert.deepEqual([table.code, table.stderr], [1, '']);
        assert.match(table.stdout, /events +\d+ orders +1 +VIOLATED/);
        assert.ok(table.stdout.includes(`  ${order?.id}  it is at version 9, its events are 1, 2, 3`), table.stdout);
        assert.match(table.stdout, /\n {2}→ .+\n\n1 of 14 promises violated\.\n$/);
        const document = await verify('--json', '--since', '2h');
        assert.equal(document.code, 1);
        const found = (JSON.parse(document.stdout) as Verdict).promises.filter((row) => row.status === 'violated');
        assert.deepEqual(
          found.map(({ name, findings }) => [name, findings[0]?.id]),
          [['events', order?.id]],
        );
        const later = await verify('--since', '2999-01-01');
        assert.equal(later.code, 0, later.stdout);
      },
    );
  });

  it('says in one sentence what keeps it from checking', async () => {
    const url = await postgres.createDatabase();
    processes.keepSecret(new URL(url).password);
    const settings = { DATABASE_URL: url };
    assert.equal((await processes.run(['migrate'], settings)).code, 0);
    const nobody = `http://127.0.0.1:${await findPort()}`;
    const refusals: [string[], RegExp][] = [
      [['--sinc', '2h'], /"--sinc 2h": it takes --since T/],
      [['everything'], /"everything": it takes/],
      [['--since', 'yesterday'], /--since "yesterday" is no time.*2h/],
      [['--since', '2026-11-21T07:00:00'], /is no time/],
      [['--since', '2026-02-30'], /--since "2026-02-30" is no time/],
      [['--ledger', 'sandbox'], /--ledger "sandbox" is no URL/],
      [['--ledger', nobody], /ledger at http:\S+ cannot be reached \(ECONNREFUSED\).*sandbox is running/],
    ];
    for (const [args, sentence] of refusals) {
      assertRefused(await processes.run(['verify', ...args], settings), sentence);
    }
    const nowhere = { DATABASE_URL: 'postgres://orderly@127.0.0.1:1/orderly' };
    assertRefused(await processes.run(['verify'], nowhere), /cannot be used \(DATABASE_URL\)/);
    const silent = createServer(() => {});
    silent.listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const { port } = silent.address() as AddressInfo;
    const unheard = { DATABASE_URL: `postgres://orderly@127.0.0.1:${port}/orderly` };
    assertRefused(await processes.run(['verify'], unheard), /cannot be used \(DATABASE_URL\)/);
    silent.close();
    const ever = await processes.run(['verify', '--since', '999999d', '--json'], settings);
    assert.deepEqual([ever.code, JSON.parse(ever.stdout).since], [0, new Date(0).toISOString()], ever.stderr);
    const mistaken = await processes.run(['verify'], { ...settings, ORDER_WORKER_MAX_RETRIES: 'many' });
    assert.deepEqual([mistaken.code, mistaken.stdout], [2, '']);
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    await client.query('ALTER TABLE events RENAME TO elsewhere');
    await client.end();
    assertRefused(await processes.run(['verify'], settings), /no verdict: relation "events" does not exist/);
  });

  it('explains itself', async () => {
    const { code, stdout, stderr } = await processes.run(['verify', '--help']);
    assert.deepEqual({ code, stderr }, { code: 0, stderr: '' });
    for (const word of ['--since T', '--json', '--ledger URL', '15m', 'late publishing', 'ledger: once']) {
      assert.ok(stdout.includes(word), `the page does not mention ${word}`);
    }
    assert.deepEqual(
      stdout.split('\n').filter((line) => line.length > 120),
      [],
    );
  });

  it('needs the product stopped on the embedded database', async () => {
    const settings = { ...quickSettings, ORDERLY_DATA_DIR: processes.directory, PORT: 0 };
    assertRefused(await processes.run(['verify'], settings), /There is no database in .* to verify/);
    const orderly = await processes.start('start', settings);
    const client = createClient(() => orderly.url);
    await client.place();
    assertRefused(await processes.run(['verify'], settings), /in use by another Orderly/);
    orderly.signal('SIGTERM');
    assert.equal(await orderly.exit(), 0, orderly.said());
    const { code, stdout, stderr } = await processes.run(['verify'], settings);
    assert.deepEqual({ code, stderr }, { code: 0, stderr: '' }, stdout);
    assert.match(stdout, /^Checked the embedded database in \S+, for DATABASE_URL is not set\.\n1 orders? in /);
  });
});
