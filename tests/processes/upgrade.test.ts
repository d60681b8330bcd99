// From release 0.1 to this one: that release runs, is killed with work in every state, `migrate` moves its database
// over, and this release ends what the other began.
//
// Relies on the history of this repository for the other release; a clone that is too shallow for it skips the test.

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, symlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { inInstallation, slowestTest } from '../support/installation.ts';
import { type Postgres, startPostgres } from '../support/postgres.ts';
import { createProcesses } from '../support/process.ts';
import { until } from '../support/until.ts';

const root = dirname(dirname(import.meta.dirname));
const release = '4be6ac49eeea44c2471980460afb49db266dde6e';
const isThere = spawnSync('git', ['cat-file', '-e', `${release}^{commit}`], { cwd: root }).status === 0;
const skip = isThere ? false : `the history of this clone does not reach release 0.1 (${release.slice(0, 7)})`;

// What that release runs from: its source, with the packages of this one.
function checkOut(directory: string): string {
  const checkout = join(directory, 'release-0.1');
  mkdirSync(checkout);
  const archive = execFileSync('git', ['archive', release, 'src', 'package.json'], { cwd: root, maxBuffer: 2 ** 26 });
  execFileSync('tar', ['-x'], { cwd: checkout, input: archive });
  symlinkSync(join(root, 'node_modules'), join(checkout, 'node_modules'));
  return checkout;
}

describe('a database of release 0.1', { ...slowestTest, skip }, () => {
  let postgres: Postgres;
  before(async () => {
    postgres = await startPostgres({ settings: { fsync: 'off' } });
  });
  after(() => postgres.stop());

  it('is migrated with work in every state, and all of it ends with nothing done twice', async () => {
    await inInstallation(postgres, {}, async (installation) => {
      const { processes, settings, client, talkTo, sql, direct, hanging, start, startSandbox, sandbox, audited } =
        installation;
      const former = createProcesses(checkOut(processes.directory));
      try {
        await former.run(['migrate'], settings);
        // A call that hangs does so until its process is killed.
        const patient = { ...settings, ORDER_WORKER_TIMEOUT_MS: 60_000, ORDER_WORKER_LEASE_MS: 90_000 };
        let running = await former.start('start', patient);
        talkTo(running);
        const place = async (scenario?: 'outage' | 'failure') => {
          const key = `of-release-0.1-${client.sent.size}`;
          const { orderId } = await client.place(scenario === undefined ? { key } : { key, scenario });
          return orderId;
        };
        const reach = (id: string, status: string) =>
          until(async () => (await client.read(id)).status === status, `${status} of an order`);

        const ended = [await place(), await place(), await place('failure')];
        for (const id of ended.slice(0, 2)) await reach(id, 'PROCESSED');
        const dead = await place('outage');
        await reach(dead, 'FAILED');
        // One that acted and one that did not, of each partner, and nobody knows.
        await direct({ call: 'authorize', act: 'hang-after' });
        await place();
        await hanging(1);
        await direct({ call: 'authorize', act: 'hang-before' });
        await place();
        await hanging(2);
        await direct({ call: 'book', act: 'hang-after' });
        const canceled = await place();
        await hanging(3);
        await direct({ call: 'recall', act: 'hang-before' });
        await client.cancel(canceled);
        await hanging(4);
        // Asked to wait, for longer than the release lives on.
        await direct({ payments: 'throttle', retryAfterSeconds: 15 });
        await place();
        const waiting = () => sql(`SELECT FROM deliveries WHERE state = 'waiting' AND due_at > now()`);
        await until(async () => (await waiting()).length > 0, 'an order that waits');
        await running.kill9();

        // An API without a relay, and a bus that nobody answers on.
        const alone = { ...settings, BUS: 'kafka', KAFKA_BROKERS: '127.0.0.1:9' };
        running = await former.start('api', alone);
        talkTo(running);
        const untouched = [await place(), await place()];
        await running.kill9();

        const states = await sql(
          `SELECT (SELECT count(*) FROM deliveries WHERE state = 'running') AS running,
                  (SELECT count(*) FROM deliveries WHERE state = 'waiting') AS waiting,
                  (SELECT count(*) FROM dead_letters WHERE closed_at IS NULL) AS dead,
                  (SELECT count(*) FROM outbox) AS owed,
                  (SELECT count(*) FROM effects WHERE state NOT IN ('done', 'declined')) AS open,
                  (SELECT count(*) FROM orders WHERE status = 'CANCELED' AND fulfillment <> 'none') AS canceled`,
        );
        const [state] = states as Record<string, number>[];
        assert.ok(
          Object.values(state ?? {}).every((count) => count > 0),
          JSON.stringify(state),
        );

        assert.equal((await processes.run(['migrate'], settings)).code, 0);
        await sandbox().kill9();
        await startSandbox();
        const { url: now } = await start();
        await Promise.all([...client.sent.keys()].map(client.repeat));
        for (const id of untouched) await reach(id, 'PROCESSED');
        await audited({ patienceMs: 40_000 });
        const verified = await processes.run(['verify', '--ledger', sandbox().url], settings);
        assert.equal(verified.code, 0, verified.stdout);

        // The parked one is sent back.
        const answer = await fetch(`${now}/dlq/${dead}/reprocess`, { method: 'POST' });
        assert.equal(answer.status, 202, await answer.text());
        await reach(dead, 'PROCESSED');
      } finally {
        await former.close();
      }
    });
  });
});
