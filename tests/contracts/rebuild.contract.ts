// One suite for every search: all documents are built anew from the orders while workers write and people search.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Order, OrderId } from '../../src/domain/order.ts';
import { createIndexing } from '../../src/flow/projections/index-order.ts';
import { type RebuildPlace, type RebuildTarget, rebuild } from '../../src/flow/projections/rebuild.ts';
import type { OrderQuery, Search } from '../../src/flow/projections/search-ports.ts';
import { createPostgresSearch } from '../../src/io/postgres/documents.ts';
import { createReadHistories } from '../../src/io/postgres/histories.ts';
import { createRebuildSource, createRebuilds, RebuildLostError } from '../../src/io/postgres/rebuilds.ts';
import { authorized, createStore, type Opened, type Store } from '../support/store.ts';

export type RebuildStand = {
  readonly opened: Opened;
  readonly search: Search;
  // An empty place for new documents.
  readonly newTarget: () => Promise<RebuildTarget>;
  readonly settle: () => Promise<void>;
  // The documents are lost, as after a new mapping.
  readonly forget: () => Promise<void>;
  readonly close: () => Promise<void>;
};

// The search on the database itself, which rebuilds in its place.
export function standOn(opened: Opened): RebuildStand {
  const search = createPostgresSearch(opened.database);
  return {
    opened,
    search,
    newTarget: async () => ({ write: search.rewrite, turn: null }),
    settle: async () => {},
    forget: async () => void (await opened.database.query('DELETE FROM order_documents')),
    close: opened.close,
  };
}

const everything: OrderQuery = {
  ...{ words: [], status: null, customerEmail: null, productType: null, country: null },
  ...{ from: null, to: null, limit: 100, after: null },
};
const patient = new AbortController().signal;

export function rebuildContract(name: string, open: () => Promise<RebuildStand>): void {
  describe(`a rebuild of the search on ${name}`, { timeout: 120_000 }, () => {
    let stand: RebuildStand;
    let store: Store;
    let index: (id: OrderId) => Promise<void>;
    before(async () => {
      stand = await open();
      const { database } = stand.opened;
      store = createStore(database);
      const indexing = createIndexing({
        search: stand.search,
        readHistories: createReadHistories(database),
        timeoutMs: 5_000,
        system: store.system,
      });
      index = (id) => indexing(id, patient);
    });
    after(() => stand.close());

    const found = async (status: Order['status'] | null = null) => {
      await stand.settle();
      const ids: OrderId[] = [];
      for (let after: OrderQuery['after'] = null; ; ) {
        const page = await stand.search.find({ ...everything, status, after });
        ids.push(...page.ids);
        if (page.next === null) return ids.sort();
        after = page.next;
      }
    };
    const run = async (more: {
      target?: RebuildTarget;
      from?: RebuildPlace;
      save?: (place: RebuildPlace) => Promise<void>;
      signal?: AbortSignal;
    }) => {
      const { database } = stand.opened;
      const source = createRebuildSource(database);
      return rebuild({
        source,
        target: more.target ?? (await stand.newTarget()),
        from: more.from ?? { since: await source.now(), after: '00000000-0000-0000-0000-000000000000' as OrderId },
        save: more.save ?? (async () => {}),
        onProgress: () => {},
        system: store.system,
        signal: more.signal ?? patient,
      });
    };
    const place = async () => (await store.placed()).order.id;
    const cancel = (id: OrderId) => store.desk.cancel(id, null, 'c-cancel');

    it('brings every order, at its newest version', async () => {
      const ids = [];
      for (let count = 0; count < 25; count += 1) ids.push(await place());
      await cancel(ids[3] as OrderId);
      await stand.forget();
      assert.deepEqual(await found(), []);
      const { refused } = await run({});
      assert.deepEqual(refused, []);
      assert.deepEqual(await found(), ids.sort());
      assert.deepEqual((await found('CANCELED')).length, 1);
    });

    it('brings what workers write meanwhile, and never an older version over theirs', async () => {
      const before = await found();
      const target = await stand.newTarget();
      const changed: OrderId[] = [];
      const placed: OrderId[] = [];
      // While documents are written: an order changes that was read already, and a new one comes.
      const meanwhile = async () => {
        const id = before[changed.length] as OrderId;
        await cancel(id);
        await index(id);
        changed.push(id);
        const fresh = await place();
        await index(fresh);
        placed.push(fresh);
      };
      const { refused } = await run({
        target: {
          write: async (documents, signal) => {
            if (changed.length < 3) await meanwhile();
            return target.write(documents, signal);
          },
          turn:
            target.turn === null
              ? null
              : async () => {
                  await meanwhile();
                  await target.turn?.();
                },
        },
      });
      assert.deepEqual(refused, []);
      assert.deepEqual(await found(), [...before, ...placed].sort());
      const canceled = await found('CANCELED');
      for (const id of changed) assert.ok(canceled.includes(id), id);
    });

    it('goes on after a kill from the last page that it has written', async () => {
      const all = await found();
      await stand.forget();
      const target = await stand.newTarget();
      let saved: RebuildPlace | null = null;
      let written = 0;
      const killed = async () => {
        throw new Error('killed');
      };
      const broken = run({
        target: { ...target, turn: killed },
        save: async (place) => {
          saved = place;
        },
      });
      await assert.rejects(broken, /killed/);
      assert.ok(saved !== null);
      const counting: RebuildTarget = {
        turn: target.turn,
        write: (documents, signal) => {
          written += documents.length;
          return target.write(documents, signal);
        },
      };
      const late = await place();
      await run({ target: counting, from: saved });
      assert.deepEqual(await found(), [...all, late].sort());
      assert.ok(written < all.length, `${written} were written again`);
    });

    it('belongs to one process at a time, and who lost it writes no more', async () => {
      const { database } = stand.opened;
      const one = createRebuilds(database, store.system.newToken());
      const other = createRebuilds(database, store.system.newToken());
      const held = await one.take('a-search-1');
      assert.equal(held?.target, 'a-search-1');
      assert.equal(await other.take('a-search-2'), null);
      const after = store.system.newId() as OrderId;
      await one.save('a-search-1', { since: '7', after });
      await one.release('a-search-1');
      assert.deepEqual(await other.take('a-search-2'), { target: 'a-search-1', since: '7', after });
      await assert.rejects(one.save('a-search-1', { since: '8', after }), RebuildLostError);
      await other.finish('a-search-1');
      assert.equal((await one.take('a-search-2'))?.target, 'a-search-2');
      await one.finish('a-search-2');
    });

    it('skips nothing of an order that moves on between two of its looks', async () => {
      const { order, eventId } = await store.placed();
      const source = createRebuildSource(stand.opened.database);
      const since = await source.now();
      await store.settleOnce(store.doneWith(await store.claimed('payment', eventId), authorized));
      const changed: string[] = [];
      for await (const ids of source.changedSince(since)) changed.push(...ids);
      assert.ok(changed.includes(order.id));
    });
  });
}
