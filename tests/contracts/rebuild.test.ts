import { openServer } from '../support/store.ts';
import { rebuildContract, standOn } from './rebuild.contract.ts';

rebuildContract('a PostgreSQL server', async () => standOn(await openServer()));
