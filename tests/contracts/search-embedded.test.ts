import { createPostgresSearch } from '../../src/io/postgres/documents.ts';
import { openEmbeddedAnew } from '../support/store.ts';
import { searchContract } from './search.contract.ts';

searchContract('the embedded database', async () => {
  const { database, close } = await openEmbeddedAnew();
  return { search: createPostgresSearch(database), settle: async () => {}, close };
});
