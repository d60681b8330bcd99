// The search that the settings name: PostgreSQL itself, or Elasticsearch.
//
// Promises: opening never fails because the server is away, or of a version that does not fit: orders are taken all the
// same, and the log says it; its client is loaded only where it is used.

import type { Log, System } from '../engine/ports.ts';
import type { Search } from '../flow/projections/search-ports.ts';
import type { Database } from '../io/postgres/database.ts';
import { createPostgresSearch } from '../io/postgres/documents.ts';
import type { Config } from './config.ts';

export type OpenedSearch = { readonly search: Search; readonly close: () => Promise<void> };

export async function openSearch(
  config: Config,
  database: Database,
  { system, log }: { readonly system: System; readonly log: Log },
): Promise<OpenedSearch> {
  const { engine, url } = config.search;
  if (engine === 'postgres') return { search: createPostgresSearch(database), close: async () => {} };
  const { connectElasticsearch } = await import('../io/search/elasticsearch.ts');
  const opened = connectElasticsearch({ url, system, log });
  void opened.mistake().then((mistake) => mistake !== null && log.error({}, mistake));
  return opened;
}
