import assert from 'node:assert/strict';
import { it } from 'node:test';
import { mappings } from '../../src/io/search/index-shape.ts';
import { createNewIndex } from '../../src/io/search/new-index.ts';
import { rebuildContract } from '../contracts/rebuild.contract.ts';
import { openElasticsearch } from '../support/elasticsearch.ts';
import { openServer } from '../support/store.ts';

rebuildContract('Elasticsearch', async () => {
  const opened = await openServer();
  const { search, client, alias, settle, close } = await openElasticsearch();
  const indices = createNewIndex(client, alias);
  const nextIndex = async () => {
    const name = await indices.nextName();
    await indices.create(name);
    return name;
  };
  return {
    opened,
    search,
    newTarget: async () => indices.targetOf(await nextIndex()),
    settle,
    forget: async () => {
      const name = await nextIndex();
      await indices.targetOf(name).turn?.();
      await indices.removeOthers(name);
    },
    close: async () => {
      await close();
      await opened.close();
    },
  };
});

it('a rebuild of the search on Elasticsearch goes on with an index of this release alone', async () => {
  const { client, alias, close } = await openElasticsearch();
  try {
    const indices = createNewIndex(client, alias);
    const own = await indices.nextName();
    assert.equal(await indices.isOfThisRelease(own), false, 'none is there');
    await indices.create(own);
    assert.equal(await indices.isOfThisRelease(own), true);
    const other = await indices.nextName();
    await client.indices.create({ index: other, mappings: { ...mappings, _meta: { shape: 0 } } });
    assert.equal(await indices.isOfThisRelease(other), false, 'of another release');
  } finally {
    await close();
  }
});
