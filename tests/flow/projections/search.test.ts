// The consumer `search` at work: what facts, doubled, late and reordered, make of a document, and what a search
// that is ill costs an order.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { OrderId } from '../../../src/domain/order.ts';
import { type Fact, OutsideError, type Trouble } from '../../../src/engine/ports.ts';
import type { OrderRecord } from '../../../src/flow/ports.ts';
import { createIndexing, indexOrder } from '../../../src/flow/projections/index-order.ts';
import { toDocument } from '../../../src/flow/projections/order-document.ts';
import type { OrderQuery, Search } from '../../../src/flow/projections/search-ports.ts';
import { createPostgresSearch } from '../../../src/io/postgres/documents.ts';
import { createReadHistories } from '../../../src/io/postgres/histories.ts';
import { createSystem } from '../../../src/io/system.ts';
import { storiesOnServer } from '../../support/stories.ts';
import { until } from '../../support/until.ts';
import type { World } from '../../support/world.ts';

const test = storiesOnServer();

const everything: OrderQuery = {
  ...{ words: [], status: null, customerEmail: null, productType: null, country: null },
  ...{ from: null, to: null, limit: 100, after: null },
};
const documentOf = async (world: World, id: OrderId) => {
  const [row] = await world.sql<{ version: number }>('SELECT version FROM order_documents WHERE order_id = $1', [id]);
  return row?.version ?? null;
};

describe('the search', { concurrency: 4 }, () => {
  it('takes no fact that is not the latest of its order, for the newer one owes the document', () => {
    const step = indexOrder(async () => undefined);
    const record = { order: { version: 3 }, effects: {} } as OrderRecord;
    const admitted = [1, 2, 3].map((version) => step.admits(record, { version } as Fact));
    assert.deepEqual(admitted, [false, false, true]);
  });

  test('finds each order as it is, and costs most of them one document', {}, async (world) => {
    const scenarios = ['success', 'failure', 'flaky', 'success', 'fatal'] as const;
    const placed = await Promise.all(scenarios.map((paymentScenario) => world.place({ paymentScenario })));
    await Promise.all(placed.map(({ id }) => world.ended(id)));
    await world.settled();
    const { items, next } = await world.desk.find(everything);
    assert.equal(next, null);
    assert.deepEqual(items.map(({ id }) => id).sort(), placed.map(({ id }) => id).sort());
    for (const order of items) {
      assert.deepEqual(order, await world.order(order.id));
      assert.equal(await documentOf(world, order.id), order.version);
    }
    const failed = await world.desk.find({ ...everything, status: 'FAILED' });
    assert.deepEqual(
      failed.items.map(({ id }) => id),
      [placed[4]?.id],
    );
  });

  test('leaves out what is in another status by now than its document says', {
    start: false,
    check: false,
  }, async (world) => {
    const { id } = await world.place();
    const search = createPostgresSearch(world.database);
    const index = createIndexing({
      search,
      readHistories: createReadHistories(world.database),
      timeoutMs: 5_000,
      system: createSystem(),
    });
    await index(id, new AbortController().signal);
    const asked = { ...everything, status: 'PENDING' as const };
    assert.equal((await world.desk.find(asked)).items.length, 1);
    await world.cancel(id);
    assert.deepEqual(await world.desk.find(asked), { items: [], next: null });
    assert.equal((await world.desk.find(everything)).items[0]?.status, 'CANCELED');
  });

  test('finds an order whose payment is under way, though its document cannot know', {
    start: false,
    check: false,
  }, async (world) => {
    const { id } = await world.place();
    const readHistories = createReadHistories(world.database);
    const [before] = await readHistories([id]);
    await world.takeByHand('payment', id, 1);
    assert.equal((await world.order(id)).status, 'PROCESSING');
    const [after] = await readHistories([id]);
    assert.ok(before && after);
    assert.deepEqual(toDocument(after), toDocument(before), 'a document follows from the facts alone');
    await createPostgresSearch(world.database).index([toDocument(before)], new AbortController().signal);
    const found = await world.desk.find({ ...everything, status: 'PROCESSING' });
    assert.deepEqual(
      found.items.map((order) => order.id),
      [id],
    );
    assert.deepEqual((await world.desk.find({ ...everything, status: 'PENDING' })).items, []);
  });

  test('brings the same document whatever came late, doubled or in another order', { start: false }, async (world) => {
    const { id } = await world.place();
    const other = await world.takeByHand('search', id, 1);
    await world.engine.start();
    await world.ended(id, 'PROCESSED');
    await until(async () => (await documentOf(world, id)) === 3, 'the document');
    // Whoever held the first fact wakes up now: it writes what is so, which is there already.
    await other.perform();
    assert.equal(await other.settle(undefined), 'stale');
    for (let times = 0; times < 2; times += 1) {
      const again = world.published.toReversed();
      await world.bus.publish(again, new AbortController().signal);
    }
    await world.settled();
    assert.equal(await documentOf(world, id), 3);
  });
});

describe('a search that is ill', { concurrency: 4 }, () => {
  const away: Trouble = { class: 'throttled', code: 'search-unreachable', message: 'it is away', dependencyDown: true };
  const refusal: Trouble = { class: 'non-retryable', code: 'document-refused', message: 'no', dependencyDown: false };

  // What becomes of one document where the search has this to say of it.
  const answerOf = async (world: World, index: Search['index'], id: OrderId) => {
    const indexing = createIndexing({
      search: { index },
      readHistories: createReadHistories(world.database),
      timeoutMs: 50,
      system: createSystem(),
    });
    try {
      return await indexing(id, new AbortController().signal);
    } catch (error) {
      assert.ok(error instanceof OutsideError, String(error));
      return error.trouble;
    }
  };

  test('refuses one document and takes the others: the refused one is told by itself', {
    start: false,
    check: false,
  }, async (world) => {
    const [good, bad] = [await world.place(), await world.place()];
    const stored: string[] = [];
    const index = createIndexing({
      search: {
        index: async (documents) =>
          documents.map(({ id }) => {
            if (id === bad.id) return refusal;
            stored.push(id);
            return 'stored';
          }),
      },
      readHistories: createReadHistories(world.database),
      timeoutMs: 5_000,
      system: createSystem(),
    });
    const signal = new AbortController().signal;
    const [one, two] = await Promise.allSettled([index(good.id, signal), index(bad.id, signal)]);
    assert.deepEqual([one.status, two.status, stored], ['fulfilled', 'rejected', [good.id]]);
    const { trouble } = (two as PromiseRejectedResult).reason as OutsideError;
    assert.deepEqual([trouble.code, trouble.dependency], ['document-refused', 'search']);
  });

  test('that is away, busy or silent is no fault of a document', { start: false, check: false }, async (world) => {
    const { id } = await world.place();
    const throwing = async () => {
      throw new OutsideError(away);
    };
    const silent = () => new Promise<never>(() => {});
    for (const index of [throwing, silent]) {
      const trouble = await answerOf(world, index, id);
      assert.deepEqual([trouble?.class, trouble?.dependencyDown, trouble?.dependency], ['throttled', true, 'search']);
    }
  });
});
