import { createPostgresSearch } from '../../src/io/postgres/documents.ts';
import { openEmbeddedAnew } from '../support/store.ts';
import { rebuildContract } from './rebuild.contract.ts';

rebuildContract('the embedded database', async () => {
  const opened = await openEmbeddedAnew();
  const search = createPostgresSearch(opened.database);
  return {
    opened,
    search,
    newTarget: async () => ({ write: search.rewrite, turn: null }),
    settle: async () => {},
    forget: async () => void (await opened.database.query('DELETE FROM order_documents')),
    close: opened.close,
  };
});
