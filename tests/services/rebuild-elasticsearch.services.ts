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
