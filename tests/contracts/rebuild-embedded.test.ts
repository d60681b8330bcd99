import { openEmbeddedAnew } from '../support/store.ts';
import { rebuildContract, standOn } from './rebuild.contract.ts';

rebuildContract('the embedded database', async () => standOn(await openEmbeddedAnew()));
