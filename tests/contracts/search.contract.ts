// One suite for every search: what it keeps, and what it finds. The answers are compared with those of a list in
// memory, which is looked through from end to end.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import fc from 'fast-check';
import { type Order, type OrderId, statuses } from '../../src/domain/order.ts';
import { toDocument } from '../../src/flow/projections/order-document.ts';
import {
  countMax,
  type Hits,
  type OrderDocument,
  type OrderQuery,
  type Search,
  statesOf,
} from '../../src/flow/projections/search-ports.ts';
import { wordsOfQuestion } from '../../src/flow/projections/search-words.ts';
import { createSystem } from '../../src/io/system.ts';
import { orderWith } from '../support/orders.ts';

export type OpenedSearch = {
  readonly search: Search;
  // What was stored is found from here on.
  readonly settle: () => Promise<void>;
  readonly close: () => Promise<void>;
};

const { newId } = createSystem();
const patient = new AbortController().signal;
const types = ['OrderCreatedV1', 'PaymentAuthorizedV1', 'FulfillmentScheduledV1', 'OrderCanceledV1'];
export const everything: OrderQuery = {
  ...{ words: [], status: null, customerEmail: null, productType: null, country: null },
  ...{ from: null, to: null, limit: 100, after: null },
};

export function documentWith(given: Partial<Order> = {}, version = 1): OrderDocument {
  const order = orderWith({ id: newId() as OrderId, version, ...given });
  const events = types.slice(0, version).map((type, index) => ({
    ...{ id: newId(), type, version: index + 1, time: order.createdAt, correlationId: 'c-1', causationId: null },
  }));
  return toDocument({ order, events });
}

function matches(document: OrderDocument, query: OrderQuery): boolean {
  const { words, status, customerEmail, productType, country, from, to } = query;
  const createdAt = new Date(document.createdAt);
  return (
    (status === null || statesOf(status).includes(document.state)) &&
    (customerEmail === null || document.customerEmail?.toLowerCase() === customerEmail) &&
    (productType === null || document.productType === productType) &&
    (country === null || document.country === country) &&
    (from === null || createdAt >= from) &&
    (to === null || createdAt < to) &&
    words.every(({ word, isBeginning, orId }) =>
      document.words.some((own) => own === word || own === orId || (isBeginning && own.startsWith(word))),
    )
  );
}

const expectedCounts = (documents: readonly OrderDocument[]) =>
  Object.fromEntries(statuses.map((status) => [status, documents.filter(({ state }) => state === status).length]));

const newestFirst = (one: OrderDocument, other: OrderDocument) =>
  one.createdAt === other.createdAt ? (one.id < other.id ? 1 : -1) : one.createdAt < other.createdAt ? 1 : -1;

async function pagesOf(search: Search, query: OrderQuery, between = async () => {}): Promise<string[]> {
  const ids: string[] = [];
  for (let after = query.after; ; ) {
    const page: Hits = await search.find({ ...query, after });
    assert.ok(page.ids.length <= query.limit);
    ids.push(...page.ids);
    if (page.next === null) return ids;
    after = page.next;
    await between();
  }
}

const words = ['lamp', 'Lamp-9', 'Straße', 'ﬁne', 'a', 'us', 'jane.doe', 'x_y.z', "o'neil", 'a\\b', "''", '東京', 'Ω'];
const anyOrder = fc.record(
  {
    status: fc.constantFrom(...statuses),
    customerEmail: fc.constantFrom('jane.doe@example.com', 'Jane.Doe@Example.com', 'bob@example.org', null),
    userId: fc.constantFrom(...words, 'u-1', 'u-12'),
    productType: fc.constantFrom('Phone', 'Laptop', null),
    country: fc.constantFrom('US', 'DE'),
    items: fc.array(
      fc.record({ sku: fc.constantFrom(...words), quantity: fc.constant(1), unitPrice: fc.constant(5) }),
      {
        minLength: 1,
        maxLength: 3,
      },
    ),
    // Many at one moment.
    createdAt: fc.integer({ min: 0, max: 9 }).map((s) => new Date(Date.UTC(2020, 0, 1, 0, 0, s))),
  },
  { noNullPrototype: true },
);
const anyQuery = fc.record(
  {
    q: fc.option(
      fc.constantFrom(...words, 'lam', 'jane doe', 'doe@exa', 'example.com', 'u-1', 'pending', 'ordercr', 'ph'),
    ),
    status: fc.option(fc.constantFrom(...statuses), { freq: 1 }),
    customerEmail: fc.option(fc.constantFrom('jane.doe@example.com', 'nobody@example.com'), { freq: 1 }),
    productType: fc.option(fc.constantFrom('Phone', 'Tablet'), { freq: 1 }),
    country: fc.option(fc.constantFrom('US', 'FR'), { freq: 1 }),
    from: fc.option(
      fc.integer({ min: 0, max: 9 }).map((s) => new Date(Date.UTC(2020, 0, 1, 0, 0, s))),
      { freq: 1 },
    ),
    to: fc.option(
      fc.integer({ min: 0, max: 9 }).map((s) => new Date(Date.UTC(2020, 0, 1, 0, 0, s))),
      { freq: 1 },
    ),
    limit: fc.integer({ min: 1, max: 7 }),
  },
  { noNullPrototype: true },
);

export function searchContract(name: string, open: () => Promise<OpenedSearch>): void {
  describe(`the search on ${name}`, { timeout: 120_000 }, () => {
    let opened: OpenedSearch;
    let search: Search;
    before(async () => {
      opened = await open();
      search = opened.search;
    });
    after(() => opened.close());
    const store = async (...documents: OrderDocument[]) => {
      const answers = await search.index(documents, patient);
      await opened.settle();
      return answers;
    };
    const stateOf = async (id: string) => {
      for (const status of statuses) {
        const [word] = wordsOfQuestion(id) ?? [];
        assert.ok(word);
        if ((await search.find({ ...everything, words: [word], status })).ids.length > 0) return status;
      }
      return null;
    };

    it('finds nothing before anything was stored', async () => {
      assert.deepEqual(await search.find(everything), { ids: [], next: null });
      assert.deepEqual(await search.count(everything), expectedCounts([]));
    });

    it('gives the answers that a list gives, whatever is asked, page by page', async () => {
      const day = { from: new Date('2020-01-01'), to: new Date('2020-01-02') };
      const documents = fc.sample(anyOrder, { numRuns: 80, seed: 7 }).map((given) => documentWith(given));
      assert.ok((await store(...documents)).every((answer) => answer === 'stored'));
      await fc.assert(
        fc.asyncProperty(anyQuery, async ({ q, from, to, ...rest }) => {
          const sought = q === null ? [] : wordsOfQuestion(q);
          const query = { ...everything, ...rest, words: sought ?? [], from: from ?? day.from, to: to ?? day.to };
          const expected = documents.filter((one) => matches(one, query)).sort(newestFirst);
          assert.deepEqual(
            await pagesOf(search, query),
            expected.map(({ id }) => id),
            `asked for ${q}`,
          );
          const everyStatus = expectedCounts(documents.filter((one) => matches(one, { ...query, status: null })));
          assert.deepEqual(await search.count(query), everyStatus, `counted for ${q}`);
        }),
        { numRuns: 70, seed: 11 },
      );
    });

    it('counts what it has of each status, and counts no further than is told', async () => {
      const range = { from: new Date('2024-01-01'), to: new Date('2024-01-02') };
      const sku = (status: string) => [{ sku: `counted ${status}`, quantity: 1, unitPrice: 1 }];
      const many = Array.from({ length: countMax + 5 }, () =>
        documentWith({ status: 'PROCESSED', createdAt: range.from, items: sku('much') }, 3),
      );
      for (let from = 0; from < many.length; from += 1_000) await search.index(many.slice(from, from + 1_000), patient);
      const few = [
        documentWith({ status: 'FAILED', createdAt: range.from, items: sku('little') }, 2),
        documentWith({ status: 'FAILED', createdAt: range.to, items: sku('little') }, 2),
      ];
      await store(...few);
      const counts = { PENDING: 0, PROCESSING: 0, PROCESSED: countMax, FAILED: 1, CANCELED: 0 };
      assert.deepEqual(await search.count({ ...everything, ...range }), counts);
      const words = wordsOfQuestion('counted little') ?? [];
      assert.deepEqual(await search.count({ ...everything, words }), { ...counts, PROCESSED: 0, FAILED: 2 });
      // What nearly all of them have is counted in another way.
      const common = wordsOfQuestion('counted') ?? [];
      assert.deepEqual(await search.count({ ...everything, words: common }), { ...counts, FAILED: 2 });
      assert.deepEqual(await search.count({ ...everything, ...range, words: common }), counts);
    });

    it('stores a document over an older one of the order alone', async () => {
      const id = newId() as OrderId;
      const versions = [2, 1, 3, 2, 3].map((version) =>
        documentWith({ id, status: statuses[version] ?? 'PENDING' }, version),
      );
      const answers: unknown[] = [];
      for (const document of versions) answers.push(...(await store(document)));
      assert.deepEqual(answers, ['stored', 'older', 'stored', 'older', 'older']);
      assert.equal(await stateOf(id), statuses[3]);
    });

    it('stores many, and the newest of each, whoever writes at the same time', async () => {
      const ids = Array.from({ length: 40 }, () => newId() as OrderId);
      const writers = [1, 2, 3, 4].flatMap((version) => [
        search.index(
          ids.map((id) => documentWith({ id, status: statuses[version] ?? 'PENDING' }, version)),
          patient,
        ),
        search.index(
          ids.toReversed().map((id) => documentWith({ id, status: statuses[version] ?? 'PENDING' }, version)),
          patient,
        ),
      ]);
      await Promise.all(writers);
      await opened.settle();
      for (const id of ids.slice(0, 10)) assert.equal(await stateOf(id), statuses[4]);
    });

    it('neither skips nor repeats an order while others arrive and change', async () => {
      const at = (s: number) => new Date(Date.UTC(2021, 0, 1, 0, 0, s));
      const range = { from: at(0), to: at(1_000) };
      const there = Array.from({ length: 30 }, (_, nth) => documentWith({ createdAt: at(10 + (nth >> 1)) }));
      await store(...there);
      let arrived = 0;
      const found = await pagesOf(search, { ...everything, ...range, limit: 4 }, async () => {
        arrived += 1;
        const changed = there[arrived];
        const next =
          changed && documentWith({ id: changed.id, createdAt: new Date(changed.createdAt) }, 1 + (arrived % 3));
        await store(documentWith({ createdAt: at(100 + arrived) }), ...(next ? [next] : []));
      });
      assert.ok(arrived > 5);
      assert.deepEqual(
        found,
        there.toSorted(newestFirst).map(({ id }) => id),
      );
    });

    it('finds an order by its id, by parts of an address, and by its step', async () => {
      const one = documentWith({ customerEmail: 'grace.hopper@navy.example', createdAt: new Date('2022-01-01') }, 3);
      await store(one);
      for (const q of [
        one.id,
        one.id.toUpperCase(),
        'grace',
        'hopper@navy',
        'navy.example',
        'HOPPER Fulfillmentsch',
        '"hopper",',
      ]) {
        const { ids } = await search.find({ ...everything, words: wordsOfQuestion(q) ?? [] });
        assert.deepEqual(ids, [one.id], q);
      }
      for (const q of ['opper', 'race.hopper', 'na', one.id.slice(0, 30)]) {
        const { ids } = await search.find({ ...everything, words: wordsOfQuestion(q) ?? [] });
        assert.ok(!ids.includes(one.id), q);
      }
    });

    it('takes whatever customers write, and whatever is asked, for words alone', async () => {
      const hostile = [
        "'",
        "' | 'x",
        "a'b\\'c",
        '\\',
        ':*',
        '!!',
        '(',
        '&|<->',
        '{"query":{"match_all":{}}}',
        '* OR 1=1',
        '~~~',
        'a:b',
        '\u202e',
        '%_%',
        '../',
        '"'.repeat(50),
        'x'.repeat(5_000),
        '-'.repeat(5_000),
        'a-'.repeat(2_000),
        '💡'.repeat(300),
      ];
      const documents = hostile.map((text, nth) =>
        documentWith({
          userId: text,
          createdAt: new Date(Date.UTC(2023, 0, 1, 0, nth)),
          items: [{ sku: `${text}h${nth}`, quantity: 1, unitPrice: 1 }],
        }),
      );
      assert.ok((await store(...documents)).every((answer) => answer === 'stored'));
      for (const q of hostile) {
        const sought = wordsOfQuestion(q);
        if (sought === null || sought.length === 0) continue;
        const query = { ...everything, from: new Date('2023-01-01'), to: new Date('2023-01-02'), words: sought };
        const expected = documents.filter((one) => matches(one, query)).sort(newestFirst);
        assert.deepEqual(
          (await search.find(query)).ids,
          expected.map(({ id }) => id),
          q.slice(0, 40),
        );
      }
    });

    it('is made ready as often as one likes, by several at once', async () => {
      await Promise.all([1, 2, 3].map(() => search.prepare(patient)));
      const one = documentWith();
      assert.deepEqual(await store(one), ['stored']);
    });
  });
}
