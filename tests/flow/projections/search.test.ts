// The reader `search` at work: what events, doubled and late, make of a document, and what a search that is ill costs
// an order.

import assert from 'node:assert/strict';
import { describe } from 'node:test';
import type { OrderId } from '../../../src/domain/order.ts';
import type { LoggedEvent } from '../../../src/engine/event-log.ts';
import { OutsideError, type Trouble } from '../../../src/engine/ports.ts';
import { createIndexing } from '../../../src/flow/projections/index-orders.ts';
import { toDocument } from '../../../src/flow/projections/order-document.ts';
import type { OrderQuery, Search } from '../../../src/flow/projections/search-ports.ts';
import { createCursors } from '../../../src/io/postgres/cursors.ts';
import { createPostgresSearch } from '../../../src/io/postgres/documents.ts';
import { createReadHistories } from '../../../src/io/postgres/histories.ts';
import { createSystem } from '../../../src/io/system.ts';
import { createSearchReader } from '../../../src/main/projections.ts';
import { silentLog } from '../../support/silent-log.ts';
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

// A search that answers as a test says, as a worker of it would meet it.
const system = createSystem();
const patient = new AbortController().signal;
const refusal: Trouble = { class: 'non-retryable', code: 'document-refused', message: 'no', dependencyDown: false };
const outside = (world: World, index: Search['index'], timeoutMs = 5_000) => {
  const cursors = createCursors({ database: world.database, system });
  const readHistories = createReadHistories(world.database);
  const search: Search = { ...createPostgresSearch(world.database), kind: 'elasticsearch', index };
  return {
    cursors,
    reader: createSearchReader({ cursors, readHistories, search, timeoutMs, system, log: silentLog }),
    indexing: createIndexing({ index, readHistories, timeoutMs, system }),
  };
};
const readFromHere = (world: World) =>
  world.sql(`UPDATE cursors SET read_to = (SELECT read_to FROM cursors WHERE reader = 'search.postgres')
             WHERE reader = 'search.elasticsearch'`);
const eventsOf = async (world: World): Promise<readonly LoggedEvent[]> => {
  const { cursors } = outside(world, async () => []);
  return (await cursors.read({ readTo: 0, gaps: [] }, 100)).events;
};
const deadLettersOf = async (world: World) =>
  (await world.openDeadLetters()).filter(({ consumer }) => consumer === 'search');
const idle = { start: false, check: false } as const;

describe('the search', { concurrency: 4 }, () => {
  test('finds each order as it is', {}, async (world) => {
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

  test('reads each order of a batch once, as it stands', idle, async (world) => {
    const { id } = await world.place();
    await world.cancel(id);
    const other = await world.place();
    const brought: string[] = [];
    const { indexing } = outside(world, async (documents) => {
      brought.push(...documents.map((document) => `${document.id} ${document.version}`));
      return documents.map(() => 'stored');
    });
    assert.deepEqual(await indexing(await eventsOf(world), patient), []);
    assert.deepEqual(brought.toSorted(), [`${id} 2`, `${other.id} 1`].toSorted());
  });

  test('leaves out what is in another status by now than its document says', idle, async (world) => {
    const { id } = await world.place();
    const [history] = await createReadHistories(world.database)([id]);
    assert.ok(history);
    await createPostgresSearch(world.database).index([toDocument(history)], patient);
    const asked = { ...everything, status: 'PENDING' as const };
    assert.equal((await world.desk.find(asked)).items.length, 1);
    await world.cancel(id);
    assert.deepEqual(await world.desk.find(asked), { items: [], next: null });
    assert.equal((await world.desk.find(everything)).items[0]?.status, 'CANCELED');
  });

  test('finds an order whose payment is under way, though its document cannot know', idle, async (world) => {
    const { id } = await world.place();
    const readHistories = createReadHistories(world.database);
    const [before] = await readHistories([id]);
    await world.takeByHand('payment', id, 1);
    assert.equal((await world.order(id)).status, 'PROCESSING');
    const [after] = await readHistories([id]);
    assert.ok(before && after);
    assert.deepEqual(toDocument(after), toDocument(before), 'a document follows from the events alone');
    await createPostgresSearch(world.database).index([toDocument(before)], patient);
    const found = await world.desk.find({ ...everything, status: 'PROCESSING' });
    assert.deepEqual(
      found.items.map((order) => order.id),
      [id],
    );
    assert.deepEqual((await world.desk.find({ ...everything, status: 'PENDING' })).items, []);
  });

  test('brings the same document whatever message comes again, and whoever reads from the beginning', {}, async (world) => {
    const { id } = await world.place();
    await world.ended(id, 'PROCESSED');
    await until(async () => (await documentOf(world, id)) === 3, 'the document');
    for (let times = 0; times < 2; times += 1) await world.bus.publish(world.published.toReversed(), patient);
    await world.sql(`UPDATE cursors SET read_to = 0, gaps = '{}' WHERE reader = 'search.postgres'`);
    await world.place();
    await world.settled();
    assert.equal(await documentOf(world, id), 3);
  });

  test('of another engine finds the past by a cursor of its own', {}, async (world) => {
    const placed = await Promise.all([world.place(), world.place({ paymentScenario: 'failure' })]);
    await Promise.all(placed.map(({ id }) => world.ended(id)));
    await world.settled();
    const found = new Map<string, number>();
    const { reader } = outside(world, async (documents) => {
      for (const { id, version } of documents) found.set(id, version);
      return documents.map(() => 'stored');
    });
    // Other tests have left its cursor where it was before these orders.
    while ((await reader.runOnce()) > 0) assert.ok(found.size <= placed.length);
    for (const { id } of placed) assert.equal(found.get(id), (await world.order(id)).version);
  });
});

describe('a search that is ill', { concurrency: 4 }, () => {
  const away: Trouble = { class: 'throttled', code: 'search-unreachable', message: 'it is away', dependencyDown: true };

  test(
    'refuses one document and takes the others: the refused one is a dead letter, and is brought when it is sent back',
    idle,
    async (world) => {
      await readFromHere(world);
      const [first, bad, last] = [await world.place(), await world.place(), await world.place()];
      const stored: string[] = [];
      let refuses = true;
      const { reader } = outside(world, async (documents) =>
        documents.map(({ id }) => {
          if (id === bad.id && refuses) return refusal;
          stored.push(id);
          return 'stored';
        }),
      );
      assert.equal(await reader.runOnce(), 3);
      assert.deepEqual(stored.toSorted(), [first.id, last.id].toSorted());
      const deadLetters = await deadLettersOf(world);
      assert.deepEqual(
        deadLetters.map((deadLetter) => [deadLetter.orderId, deadLetter.code, deadLetter.eventType]),
        [[bad.id, 'document-refused', 'OrderCreatedV1']],
      );
      assert.equal(await reader.runOnce(), 0);
      refuses = false;
      await world.desk.reprocess(bad.id, 'again');
      // A worker looks at its cursor's row with every third of its lease; another one begins with it.
      await reader.run(AbortSignal.abort());
      assert.equal(await reader.runOnce(), 1);
      assert.ok(stored.includes(bad.id));
      assert.deepEqual(await deadLettersOf(world), []);
    },
  );

  test('refuses one document after the other, and none of them is to blame', idle, async (world) => {
    await readFromHere(world);
    const placed = [];
    for (let count = 0; count < 5; count += 1) placed.push(await world.place());
    let isIll = true;
    const { reader } = outside(world, async (documents) => documents.map(() => (isIll ? refusal : 'stored')));
    await assert.rejects(reader.runOnce(), /refuses one document after the other/);
    assert.deepEqual(await deadLettersOf(world), []);
    isIll = false;
    assert.equal(await reader.runOnce(), placed.length);
  });

  test('is away, busy or silent, or refuses a whole call, and no document is to blame', idle, async (world) => {
    await readFromHere(world);
    await world.place();
    const throwing = (trouble: Trouble) => async () => {
      throw new OutsideError(trouble);
    };
    const busy: Trouble = { ...away, code: 'search-busy', dependencyDown: false };
    const ill: Search['index'][] = [
      throwing(away),
      throwing({ ...refusal, code: 'search-unavailable' }),
      async () => [busy],
      () => new Promise<never>(() => {}),
    ];
    for (const index of ill) {
      const { reader } = outside(world, index, 50);
      await assert.rejects(reader.runOnce(), OutsideError);
      await reader.run(AbortSignal.abort());
    }
    assert.deepEqual(await deadLettersOf(world), []);
    const { reader } = outside(world, async (documents) => documents.map(() => 'stored'));
    assert.equal(await reader.runOnce(), 1);
  });

  test('is too slow for a batch, and takes it in smaller ones', idle, async (world) => {
    await readFromHere(world);
    const placed = [];
    for (let count = 0; count < 8; count += 1) placed.push((await world.place()).id);
    const stored: string[] = [];
    const { reader } = outside(
      world,
      (documents) => {
        if (documents.length > 3) return new Promise<never>(() => {});
        stored.push(...documents.map(({ id }) => id));
        return Promise.resolve(documents.map(() => 'stored' as const));
      },
      50,
    );
    let handled = 0;
    await until(async () => {
      handled += await reader.runOnce();
      return handled === placed.length;
    }, 'all documents');
    assert.deepEqual(stored, placed);
  });

  test('cannot be told of one order, which is a dead letter, and is told of the others', idle, async (world) => {
    await readFromHere(world);
    const [good, bad] = [await world.place(), await world.place()];
    const stored: string[] = [];
    const { reader } = outside(world, async (documents) => {
      stored.push(...documents.map(({ id }) => id));
      return documents.map(() => 'stored');
    });
    await world.sql('DELETE FROM orders WHERE id = $1', [bad.id]);
    while ((await reader.runOnce()) > 0) assert.ok(stored.length <= 2);
    assert.deepEqual(stored, [good.id]);
    const deadLetters = await world.sql('SELECT order_id, code FROM dead_letters');
    assert.deepEqual(deadLetters, [{ order_id: bad.id, code: 'defect' }]);
  });
});
