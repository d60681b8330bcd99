import { createPostgresSearch } from '../../src/io/postgres/documents.ts';
import { openServer } from '../support/store.ts';
import { rebuildContract } from './rebuild.contract.ts';

rebuildContract('a PostgreSQL server', async () => {
  const opened = await openServer();
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
