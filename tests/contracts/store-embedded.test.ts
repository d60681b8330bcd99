import { openEmbeddedAnew } from '../support/store.ts';
import { storeContract } from './store.contract.ts';

storeContract('the embedded database', openEmbeddedAnew);
