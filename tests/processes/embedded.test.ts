// `npm start` as it comes, without any infrastructure: embedded database and partners' ledger in one data
// directory. The process is killed (kill -9) and started again; what is judged in the end is read from the
// directory itself, when no process holds it any more.

import assert from 'node:assert/strict';
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { openLedger } from '../../src/io/partners/ledger.ts';
import { openEmbedded } from '../../src/io/postgres/embedded.ts';
import { audit, awaitRest, countTakeovers } from '../support/audit.ts';
import { type Client, createClient, startLoad } from '../support/client.ts';
import { quickSettings, slowestTest } from '../support/installation.ts';
import { createProcesses, type Running } from '../support/process.ts';
import { silentLog } from '../support/silent-log.ts';
import { until } from '../support/until.ts';

const kills = 4;

describe('a process on the embedded database', slowestTest, () => {
  it('loses no acknowledged order and repeats no effect, killed again and again under load', async () => {
    const processes = createProcesses();
    const { directory } = processes;
    // The delay keeps some orders in the middle of a step whenever the kill comes.
    const settings = { ...quickSettings, ORDERLY_DATA_DIR: directory, PORT: 0, ORDER_WORKER_PROCESSING_DELAY_MS: 40 };
    let orderly: Running | undefined;
    const client = createClient(() => orderly?.url ?? '');
    try {
      orderly = await processes.start('start', settings);
      const load = startLoad(client, {
        scenarios: ['success', 'flaky', 'success', 'failure', 'lost-answer'],
        customers: 3,
      });
      for (let kill = 1; kill <= kills; kill += 1) {
        await load.more(8 * kill);
        await orderly.kill9();
        orderly = await processes.start('start', settings);
      }
      await load.stop();

      await awaitEnds(client, orderly);
      orderly.signal('SIGTERM');
      assert.equal(await orderly.exit(), 0, orderly.said());
      await auditDirectory(client, directory);
    } finally {
      client.leave();
      await processes.close();
    }
  });
});

// An order that has ended and an event that is published are claimed by whoever reads them; a stop in
// order finishes what is claimed. What reads in batches goes on with the next start.
async function awaitEnds(client: Client, orderly: Running): Promise<void> {
  for (const { orderId } of client.acknowledged.values()) {
    await until(
      async () => !['PENDING', 'PROCESSING'].includes((await client.read(orderId)).status),
      `the end of ${orderId}`,
    );
  }
  const nothingUnread = async () => {
    const text = await (await fetch(`${orderly.url}/metrics`)).text();
    const ages = [...text.matchAll(/^orderly_un(?:published|read)_oldest_seconds.* ([\d.]+)$/gm)];
    return ages.length === 3 && ages.every(([, age]) => age === '0');
  };
  await until(nothingUnread, 'nothing unread');
}

async function auditDirectory(client: Client, directory: string): Promise<void> {
  const open = readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ parentPath, name }) => join(parentPath, name))
    .filter((path) => (statSync(path).mode & 0o077) !== 0);
  assert.deepEqual(open, [], 'directories that others may look into');
  const database = await openEmbedded({ directory, log: silentLog });
  const ledger = openLedger({ directory: join(directory, 'partners') });
  try {
    await awaitRest(database.query, 0);
    const entries = ledger.entries({ orderId: null, afterPosition: 0, limit: 1_000_000 });
    await audit({ client, sql: database.query, ledger: entries });
    assert.ok((await countTakeovers(database.query)) > 0, 'no kill met an order in the middle of a step');
  } finally {
    ledger.close();
    await database.close();
  }
}
