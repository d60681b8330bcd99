import { createPostgresSearch } from '../../src/io/postgres/documents.ts';
import { openServer } from '../support/store.ts';
import { searchContract } from './search.contract.ts';

searchContract('a PostgreSQL server', async () => {
  const { database, close } = await openServer();
  return { search: createPostgresSearch(database), settle: async () => {}, close };
});
