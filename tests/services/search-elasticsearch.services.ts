import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { UnavailableError } from '../../src/engine/ports.ts';
import { indexName } from '../../src/io/search/index-shape.ts';
import { documentWith, everything, searchContract } from '../contracts/search.contract.ts';
import { openElasticsearch } from '../support/elasticsearch.ts';

searchContract('Elasticsearch', openElasticsearch);

describe('an index that a person has to mend', { timeout: 60_000 }, () => {
  const patient = new AbortController().signal;

  for (const [what, spoil] of [
    ['closed', { close: true, second: false }],
    ['beside another one behind the alias', { close: false, second: true }],
  ] as const) {
    it(`${what} is no fault of a document`, async () => {
      const { search, client, alias, close } = await openElasticsearch();
      try {
        await search.prepare(patient);
        if (spoil.close) await client.indices.close({ index: alias });
        if (spoil.second) await client.indices.create({ index: indexName(alias, 2), aliases: { [alias]: {} } });
        const [answer] = await search.index([documentWith()], patient);
        assert.ok(typeof answer === 'object', String(answer));
        assert.deepEqual([answer.class, answer.code, answer.dependencyDown], ['throttled', 'search-unavailable', true]);
        if (spoil.close) await assert.rejects(search.find(everything), UnavailableError);
        if (spoil.close) await assert.rejects(search.count(everything), UnavailableError);
      } finally {
        await close();
      }
    });
  }
});
