// What an index of orders looks like: its names, its mapping and its settings.
//
// Promises: the mapping names every field and admits no other, so that a document is found by all of it or
// is refused; the same settings do for one node and for a cluster, where a copy is kept as soon as there is
// a second node. A change of the mapping is a new number here, and a new index by `reindex`.

import type { estypes } from '@elastic/elasticsearch';

// What readers and writers name; behind it is one index at a time, with a number of its own.
export const defaultAlias = 'orders-v1';
export const indexName = (alias: string, number: number | '*') => `orderly-${alias}-${number}`;
export const numberOf = (index: string) => Number(index.slice(index.lastIndexOf('-') + 1)) || 0;

const shape = 1;
export const isOurShape = (mapping: { readonly _meta?: { readonly shape?: unknown } } | undefined) =>
  mapping?._meta?.shape === shape;

const keyword = { type: 'keyword' } as const;
const kept = { type: 'keyword', index: false, doc_values: false } as const;
const date = { type: 'date', format: 'strict_date_optional_time' } as const;

export const mappings: estypes.MappingTypeMapping = {
  dynamic: 'strict',
  _meta: { shape },
  properties: {
    id: keyword,
    version: { type: 'integer' },
    status: keyword,
    state: keyword,
    reason: { properties: { code: keyword, message: kept } },
    // Minor units.
    amount: { type: 'long' },
    currency: keyword,
    country: keyword,
    productType: keyword,
    customerEmail: { type: 'keyword', normalizer: 'lowercase' },
    userId: keyword,
    items: { properties: { sku: keyword, quantity: { type: 'long' }, unitPrice: { type: 'long' } } },
    correlationId: keyword,
    createdAt: date,
    updatedAt: date,
    facts: keyword,
    timeline: {
      properties: { type: keyword, at: date, eventId: keyword, correlationId: kept, causationId: kept },
    },
    // For free text; see flow/search-words.ts.
    words: { type: 'keyword', doc_values: false },
  },
};

// Kept in the order in which pages are read, so that a search ends with its page instead of sorting all that match.
const sort = { field: ['createdAt', 'id'], order: ['desc', 'desc'] } satisfies estypes.IndicesIndexSegmentSort;

// One shard holds tens of millions of orders; what is written is found a second later, searched or not.
export const settings = {
  number_of_shards: 1,
  sort,
  auto_expand_replicas: '0-1',
  refresh_interval: '1s',
} as const satisfies estypes.IndicesIndexSettings;
