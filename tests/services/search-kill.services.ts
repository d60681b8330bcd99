// The worker of the search is killed in the middle of twenty thousand orders, and Elasticsearch is killed and
// restarted meanwhile: afterwards each document equals its order, one by one.

import assert from 'node:assert/strict';
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { OrderId } from '../../src/domain/order.ts';
import { toDocument } from '../../src/flow/projections/order-document.ts';
import type { OrderDocument } from '../../src/flow/projections/search-ports.ts';
import type { Database } from '../../src/io/postgres/database.ts';
import { beforeAllOrders, readHistoriesAfter } from '../../src/io/postgres/histories.ts';
import { openElasticsearch, type TestElasticsearch } from '../support/elasticsearch.ts';
import type { Postgres } from '../support/postgres.ts';
import { kill, restart, start } from '../support/services.ts';
import { connect, createStore, startServer } from '../support/store.ts';
import { until } from '../support/until.ts';

const orders = 20_000;
const perFlush = 200;

describe('the search worker', { timeout: 600_000 }, () => {
  let postgres: Postgres;
  let database: Database;
  let databaseUrl: string;
  let elastic: TestElasticsearch;
  let worker: ChildProcess | null = null;
  before(async () => {
    postgres = await startServer();
    databaseUrl = await postgres.createDatabase();
    database = connect(databaseUrl);
    elastic = await openElasticsearch();
  });
  after(async () => {
    worker?.kill('SIGKILL');
    await elastic.close();
    await database.close();
    await postgres.stop();
  });

  const startWorker = async () => {
    worker = fork(join(import.meta.dirname, 'search-worker.ts'), [databaseUrl, elastic.url, elastic.alias]);
    await once(worker, 'message');
  };
  const killWorker = async () => {
    const gone = worker && once(worker, 'exit');
    worker?.kill('SIGKILL');
    await gone;
  };
  const handled = async (): Promise<number> => {
    const [row] = await database.query<{ count: number }>(
      `SELECT count(*) AS count FROM cursors c JOIN events e ON e.position <= c.read_to AND NOT e.position <@ c.gaps
       WHERE c.reader = 'search.elasticsearch'`,
    );
    return row?.count ?? 0;
  };

  it('killed in the middle of its work leaves no document that is not as its order', async () => {
    const store = createStore(database);
    const ids: OrderId[] = [];
    for (let count = 0; count < orders; count += perFlush) {
      const requests = Array.from({ length: perFlush }, () => store.requestOf());
      await store.accept(requests);
      ids.push(...requests.map(({ order }) => order.id));
    }
    await startWorker();
    await until(async () => (await handled()) > 2_000, 'the first documents', { patienceMs: 60_000 });
    await killWorker();
    // Some orders move on while nobody writes documents, some while somebody does.
    for (const id of ids.slice(0, 300)) await store.desk.cancel(id, null, 'c-kill');
    await startWorker();
    await kill('elasticsearch');
    for (const id of ids.slice(300, 600)) await store.desk.cancel(id, null, 'c-kill');
    await start('elasticsearch');
    await until(async () => (await handled()) > 8_000, 'more documents', { patienceMs: 120_000 });
    await killWorker();
    await startWorker();
    await restart('elasticsearch');
    await until(async () => (await handled()) >= orders + 600, 'every event handled', { patienceMs: 240_000 });
    await killWorker();

    const [deadLetters] = await database.query<{ count: number }>('SELECT count(*) AS count FROM dead_letters');
    assert.equal(deadLetters?.count, 0, 'an outage is no fault of a document');
    await elastic.settle();
    let compared = 0;
    for (let id = beforeAllOrders; ; ) {
      const histories = await readHistoriesAfter(database, id, 1_000);
      if (histories.length === 0) break;
      id = histories.at(-1)?.order.id ?? id;
      const { docs } = await elastic.client.mget<OrderDocument>({
        index: elastic.alias,
        ids: histories.map(({ order }) => order.id),
      });
      for (const [nth, history] of histories.entries()) {
        const found = docs[nth];
        assert.ok(found !== undefined && '_source' in found, history.order.id);
        assert.deepEqual(found._source, JSON.parse(JSON.stringify(toDocument(history))));
        assert.equal(found._version, history.order.version);
        compared += 1;
      }
    }
    assert.equal(compared, orders);
    const { hits } = await elastic.client.search({
      index: elastic.alias,
      track_total_hits: true,
      size: 0,
      query: { match: { status: 'OrderCanceled' } },
    });
    assert.deepEqual(hits.total, { value: 600, relation: 'eq' });
  });
});
