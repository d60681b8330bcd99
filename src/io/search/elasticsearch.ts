// The search on Elasticsearch, through its own client. One document per order under the order's id, with the
// order's version as its external version, so that the cluster itself refuses what is older.
//
// Promises: as Search has them. Everybody writes and reads through the alias, so a new index can take the
// place of the old one at any moment; an index is made where the alias has none, by whoever comes first.
// No call is repeated here: who asked does that, and knows for how long.

import { Client, type estypes } from '@elastic/elasticsearch';
import type { OrderId } from '../../domain/order.ts';
import { type Log, OutsideError, UnavailableError } from '../../engine/ports.ts';
import {
  type CountQuery,
  type Counts,
  type Hits,
  type IndexAnswer,
  type OrderDocument,
  type OrderQuery,
  type Search,
  statesOf,
  toCounts,
} from '../../flow/projections/search-ports.ts';
import { defaultAlias, indexName, isOurShape, mappings, settings } from './index-shape.ts';
import { statusOf, toOutside, troubleOf } from './troubles.ts';

// A person waits for a page; a document's own bound is its step's.
const answerTimeoutMs = 5_000;
// Far below what a server takes in one request (100 MB), and enough that a request carries many documents.
const bulkBytesMax = 8_000_000;
// Others may be making the index at the same time, or have left one without the alias.
const triesMax = 5;

export type Elasticsearch = {
  readonly search: Search;
  readonly client: Client;
  readonly close: () => Promise<void>;
};

export function connectElasticsearch(options: {
  readonly url: string;
  readonly log: Log;
  readonly alias?: string;
}): Elasticsearch {
  const { url, log, alias = defaultAlias } = options;
  const client = new Client({ node: url, maxRetries: 0, requestTimeout: answerTimeoutMs, name: 'orderly' });
  let isReady = false;

  async function prepare(signal?: AbortSignal): Promise<void> {
    const options = signal === undefined ? {} : { signal };
    for (let number = 1; number <= triesMax; number += 1) {
      if (await client.indices.existsAlias({ name: alias }, options)) {
        isReady = true;
        return warnOfShape(options);
      }
      try {
        await client.indices.create(
          { index: indexName(alias, number), aliases: { [alias]: {} }, mappings, settings },
          options,
        );
        log.info({ index: indexName(alias, number), alias }, 'an index for the orders was made');
      } catch (error) {
        if (!String(error).includes('resource_already_exists')) throw error;
      }
    }
    throw new Error(`no index could be made for the alias ${alias}`);
  }

  async function warnOfShape(options: object): Promise<void> {
    const found = await client.indices.getMapping({ index: alias }, options);
    if (Object.values(found).every(({ mappings: mapping }) => isOurShape(mapping))) return;
    log.warn({ alias }, 'the index has the mapping of another release: run `npm run orderly -- reindex`');
  }

  function bulk(documents: readonly OrderDocument[], signal: AbortSignal): Promise<IndexAnswer[]> {
    return writeDocuments(client, { index: alias, require_alias: true }, documents, signal);
  }

  const search: Search = {
    kind: 'elasticsearch',
    prepare: (signal) => prepare(signal),
    index: async (documents, signal) => {
      try {
        if (!isReady) await prepare(signal);
        const answers = await bulk(documents, signal);
        if (!answers.some(isHomeless)) return answers;
        log.warn(
          { alias },
          'index or alias was removed: until `npm run orderly -- reindex`, older orders are not found',
        );
        await prepare(signal);
        return await bulk(documents, signal);
      } catch (error) {
        throw toOutside(error);
      }
    },
    find: (query) => answered(() => find(client, alias, query), { ids: [], next: null }),
    count: (query) => answered(() => count(client, alias, query), toCounts(new Map())),
  };
  return { search, client, close: () => client.close() };
}

async function answered<A>(ask: () => Promise<A>, ofNothing: A): Promise<A> {
  try {
    return await ask();
  } catch (error) {
    // Nothing was ever written.
    if (statusOf(error) === 404) return ofNothing;
    const outside = toOutside(error);
    if (!(outside instanceof OutsideError) || outside.trouble.class === 'non-retryable') throw error;
    throw new UnavailableError('nothing', 'the search does not answer', undefined, { cause: error });
  }
}

const isHomeless = (answer: IndexAnswer) =>
  typeof answer !== 'string' && answer.message.startsWith('Elasticsearch answered 404');

// Action and document in turns, as the server reads them.
function* partsOf(documents: readonly OrderDocument[]): Generator<string[]> {
  let part: string[] = [];
  let bytes = 0;
  for (const document of documents) {
    const text = JSON.stringify(document);
    const textBytes = Buffer.byteLength(text);
    if (part.length > 0 && bytes + textBytes > bulkBytesMax) {
      yield part;
      [part, bytes] = [[], 0];
    }
    const action = { index: { _id: document.id, version: document.version, version_type: 'external' } };
    part.push(JSON.stringify(action), text);
    bytes += textBytes;
  }
  if (part.length > 0) yield part;
}

// An answer per document, in their order. An alias that is gone must not become an index of that name.
export async function writeDocuments(
  client: Client,
  target: { readonly index: string; readonly require_alias: boolean },
  documents: readonly OrderDocument[],
  signal: AbortSignal,
): Promise<IndexAnswer[]> {
  const answers: IndexAnswer[] = [];
  for (const operations of partsOf(documents)) {
    const { items } = await client.bulk({ ...target, operations }, { signal });
    answers.push(...items.map(({ index }) => answerOf(index)));
  }
  return answers;
}

function answerOf(item: estypes.BulkResponseItem | undefined): IndexAnswer {
  if (item === undefined) throw new Error('Elasticsearch answered something that was not asked');
  if (item.status < 300) return 'stored';
  if (item.status === 409) return 'older';
  return troubleOf(item.status, `${item.error?.type}: ${item.error?.reason}`);
}

async function find(client: Client, alias: string, query: OrderQuery): Promise<Hits> {
  const { limit, after } = query;
  const { hits } = await client.search({
    index: alias,
    // One more than asked for tells whether there is another page.
    size: limit + 1,
    track_total_hits: false,
    _source: false,
    sort: [{ createdAt: { order: 'desc', format: 'epoch_millis' } }, { id: 'desc' }],
    ...(after === null ? {} : { search_after: [String(after.createdAt.getTime()), after.id] }),
    query: { bool: { filter: [...filtersOf(query), ...stateFilter(query)] } },
  });
  const page = hits.hits.slice(0, limit);
  const [ms, id] = page.at(-1)?.sort ?? [];
  return {
    ids: page.map((hit) => hit._id as OrderId),
    next: hits.hits.length > limit ? { createdAt: new Date(Number(ms)), id: String(id) } : null,
  };
}

// Exact: the states are few, and of one shard.
async function count(client: Client, alias: string, query: CountQuery): Promise<Counts> {
  type States = { readonly states: estypes.AggregationsStringTermsAggregate };
  const { aggregations } = await client.search<unknown, States>({
    index: alias,
    size: 0,
    track_total_hits: false,
    query: { bool: { filter: filtersOf(query) } },
    aggs: { states: { terms: { field: 'state' } } },
  });
  const buckets = (aggregations?.states.buckets ?? []) as estypes.AggregationsStringTermsBucket[];
  return toCounts(new Map(buckets.map(({ key, doc_count: found }) => [String(key), found])));
}

const stateFilter = ({ status }: OrderQuery) => (status === null ? [] : [{ terms: { state: [...statesOf(status)] } }]);

function filtersOf({ words, customerEmail, productType, country, from, to }: CountQuery) {
  const filters: estypes.QueryDslQueryContainer[] = words.map(({ word, isBeginning, orId }) => {
    const found = isBeginning ? { prefix: { words: word } } : { term: { words: word } };
    return orId === null ? found : { bool: { should: [found, { term: { words: orId } }] } };
  });
  const fields = { customerEmail, productType, country };
  for (const [field, value] of Object.entries(fields)) {
    if (value !== null) filters.push({ term: { [field]: value } });
  }
  if (from !== null || to !== null) {
    const bounds = {
      ...(from === null ? {} : { gte: String(from.getTime()) }),
      ...(to === null ? {} : { lt: String(to.getTime()) }),
    };
    filters.push({ range: { createdAt: { ...bounds, format: 'epoch_millis' } } });
  }
  return filters;
}
