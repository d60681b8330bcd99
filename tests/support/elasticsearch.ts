// A search on a real Elasticsearch for a test, under an alias that nobody else has; its indices are gone after
// `close`. The server may be somebody's own: nothing else on it is touched.

import { randomUUID } from 'node:crypto';
import { connectElasticsearch, type Elasticsearch } from '../../src/io/search/elasticsearch.ts';
import { indexName } from '../../src/io/search/index-shape.ts';
import { createSystem } from '../../src/io/system.ts';
import { start } from './services.ts';
import { silentLog } from './silent-log.ts';

export type TestElasticsearch = Elasticsearch & {
  readonly url: string;
  readonly alias: string;
  // What was stored is found from here on.
  readonly settle: () => Promise<void>;
};

export async function openElasticsearch(): Promise<TestElasticsearch> {
  const url = await start('elasticsearch');
  const alias = `orders-test-${randomUUID()}`;
  const opened = connectElasticsearch({ url, system: createSystem(), log: silentLog, alias });
  const ours = indexName(alias, '*');
  return {
    ...opened,
    url,
    alias,
    settle: async () => void (await opened.client.indices.refresh({ index: ours })),
    close: async () => {
      const found = await opened.client.indices.get({ index: ours });
      for (const index of Object.keys(found)) await opened.client.indices.delete({ index });
      await opened.close();
    },
  };
}
