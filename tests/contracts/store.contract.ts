// One suite for every database the product runs on.

import { after, before, describe } from 'node:test';
import { createStore, type Opened, type Store } from '../support/store.ts';
import { acceptContract } from './store-accept.contract.ts';
import { analyticsContract } from './store-analytics.contract.ts';
import { claimContract } from './store-claim.contract.ts';
import { cursorContract } from './store-cursors.contract.ts';
import { deskContract } from './store-desk.contract.ts';
import { earlyClaimsContract } from './store-early-claims.contract.ts';
import { jobsContract } from './store-jobs.contract.ts';
import { lettersContract } from './store-letters.contract.ts';
import { retentionContract } from './store-retention.contract.ts';
import { constraintContract, guardContract } from './store-rows.contract.ts';
import { settleContract } from './store-settle.contract.ts';

export function storeContract(name: string, open: () => Promise<Opened>): void {
  describe(`the store on ${name}`, () => {
    let opened: Opened;
    let store: Store;
    before(async () => {
      opened = await open();
      store = createStore(opened.database);
    });
    after(() => opened.close());
    const get = () => store;
    acceptContract(get);
    claimContract(get);
    settleContract(get);
    earlyClaimsContract(get);
    deskContract(get);
    lettersContract(get);
    analyticsContract(get);
    cursorContract(get);
    jobsContract(get);
    retentionContract(get);
    guardContract(get);
    constraintContract(get);
  });
}
