// The search on Elasticsearch, through its own client. One document per order under the order's id, with the
// order's version as its external version, so that the cluster itself refuses what is older.
//
// Promises: as Search has them. Everybody writes and reads through the alias, so a new index can take the
// place of the old one at any moment; an index is made where the alias has none, by whoever comes first.
// Whatever keeps the cluster from answering a question, `find` and `count` throw UnavailableError, and the log says why.

import type { Client, estypes } from '@elastic/elasticsearch';
import type { OrderId } from '../../domain/order.ts';
import { type Log, OutsideError, type System, UnavailableError } from '../../engine/ports.ts';
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
import { readPage, readShapes, readStates, readVersion } from './answers.ts';
import { createBulk } from './bulk.ts';
import { connectClient } from './client.ts';
import { defaultAlias, indexName, isOurShape, mappings, settings } from './index-shape.ts';
import { isIndexMissing, toOutside } from './troubles.ts';

// Others may be making the index at the same time, or have left one without the alias.
const triesMax = 5;
// The server refuses a client that is newer than itself, and takes one that is a major version older.
const majorMin = 9;
const majorMax = 10;

export type Elasticsearch = {
  readonly search: Search;
  readonly client: Client;
  // Why this server will never answer, as one sentence; null where it may, or does not answer now.
  readonly mistake: () => Promise<string | null>;
  readonly close: () => Promise<void>;
};

export function connectElasticsearch(options: {
  readonly url: string;
  readonly system: Pick<System, 'after'>;
  readonly log: Log;
  readonly alias?: string;
}): Elasticsearch {
  const { url, system, log, alias = defaultAlias } = options;
  const client = connectClient(url, system);
  const writeDocuments = createBulk(client);
  let isReady = false;
  // What was last said of a question that got no answer: an outage is one line of the log, not one per question.
  let lastSaid: string | null = null;

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
    const found = readShapes(await client.indices.getMapping({ index: alias }, options));
    if (Object.values(found).every(({ mappings: mapping }) => isOurShape(mapping))) return;
    log.warn({ alias }, 'the index has the mapping of another release: run `npm run orderly -- reindex`');
  }

  const bulk = (documents: readonly OrderDocument[], signal: AbortSignal) =>
    writeDocuments({ index: alias, require_alias: true }, documents, signal);

  async function answered<A>(ask: () => Promise<A>, ofNothing: A): Promise<A> {
    try {
      const answer = await ask();
      lastSaid = null;
      return answer;
    } catch (error) {
      // Nothing was ever written.
      if (isIndexMissing(error)) return ofNothing;
      const outside = toOutside(error);
      if (!(outside instanceof OutsideError)) throw error;
      if (lastSaid !== outside.message) log.warn({ error: outside.message }, 'the search does not answer');
      lastSaid = outside.message;
      throw new UnavailableError('nothing', 'the search does not answer', undefined, { cause: error });
    }
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
  return { search, client, mistake: () => versionMistake(client), close: () => client.close() };
}

const isHomeless = (answer: IndexAnswer) =>
  typeof answer !== 'string' && answer.message.startsWith('Elasticsearch answered 404');

// Asked without the client's own media type, which another major version refuses before it reads the question.
async function versionMistake(client: Client): Promise<string | null> {
  const json = 'application/json';
  try {
    const options = { headers: { accept: json, 'content-type': json } };
    const { version } = readVersion(await client.transport.request({ method: 'GET', path: '/' }, options));
    const major = Number.parseInt(version.number, 10);
    if (major >= majorMin && major <= majorMax) return null;
    return (
      `The server at ELASTICSEARCH_URL is Elasticsearch ${version.number}, this release needs ${majorMin}.x: ` +
      'orders are taken and worked on, but not found, and their documents wait.'
    );
  } catch {
    return null;
  }
}

async function find(client: Client, alias: string, query: OrderQuery): Promise<Hits> {
  const { limit, after } = query;
  const answer = await client.search({
    index: alias,
    // One more than asked for tells whether there is another page.
    size: limit + 1,
    track_total_hits: false,
    _source: false,
    sort: [{ createdAt: { order: 'desc', format: 'epoch_millis' } }, { id: 'desc' }],
    ...(after === null ? {} : { search_after: [String(after.createdAt.getTime()), after.id] }),
    query: { bool: { filter: [...filtersOf(query), ...stateFilter(query)] } },
  });
  const { hits } = readPage(answer).hits;
  const page = hits.slice(0, limit);
  const [ms, id] = page.at(-1)?.sort ?? [];
  return {
    ids: page.map((hit) => hit._id as OrderId),
    next: hits.length > limit ? { createdAt: new Date(Number(ms)), id: String(id) } : null,
  };
}

// Exact: the states are few, and of one shard.
async function count(client: Client, alias: string, query: CountQuery): Promise<Counts> {
  const answer = await client.search({
    index: alias,
    size: 0,
    track_total_hits: false,
    query: { bool: { filter: filtersOf(query) } },
    aggs: { states: { terms: { field: 'state' } } },
  });
  const { buckets } = readStates(answer).aggregations.states;
  return toCounts(new Map(buckets.map(({ key, doc_count: found }) => [key, found])));
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
