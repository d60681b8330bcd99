import { openServer } from '../support/store.ts';
import { storeContract } from './store.contract.ts';

storeContract('a PostgreSQL server', openServer);
