// One suite for every search: all documents are built anew from the orders while workers write and people search.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Order, OrderId } from '../../src/domain/order.ts';
import { type RebuildTarget, rebuild } from '../../src/flow/projections/rebuild.ts';
import type { OrderQuery, Search } from '../../src/flow/projections/search-ports.ts';
import { createPostgresSearch } from '../../src/io/postgres/documents.ts';
import { beforeAllOrders, createReadHistories, readHistoriesAfter } from '../../src/io/postgres/histories.ts';
import { createRebuilds, RebuildLostError, rebuildReader } from '../../src/io/postgres/rebuilds.ts';
import { createOutsideIndexing, createSearchReader } from '../../src/main/projections.ts';
import { silentLog } from '../support/silent-log.ts';
import { createStore, type Opened, type Store } from '../support/store.ts';
import { until } from '../support/until.ts';

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
    let reader: ReturnType<typeof createSearchReader>;
    const surroundings = () => {
      const { database } = stand.opened;
      const { system, cursors } = store;
      return { system, cursors, log: silentLog, readHistories: createReadHistories(database), timeoutMs: 5_000 };
    };
    before(async () => {
      stand = await open();
      store = createStore(stand.opened.database);
      reader = createSearchReader({ ...surroundings(), search: stand.search });
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
    // What a worker of the search does, until it has nothing left to do.
    const work = async () => {
      await until(async () => (await reader.runOnce()) === 0 && (await unread()) === 0, 'everything indexed');
    };
    const unread = async () => {
      const [row] = await stand.opened.database.query<{ count: number }>(
        `SELECT count(*)::integer AS count FROM cursors c JOIN events e ON e.position > c.read_to OR e.position <@ c.gaps
         WHERE c.reader = $1`,
        [`search.${stand.search.kind}`],
      );
      return row?.count ?? 0;
    };
    const run = async (more: { target?: RebuildTarget; after?: OrderId; save?: (after: OrderId) => Promise<void> }) => {
      const { database } = stand.opened;
      const rebuilds = createRebuilds(database, stand.search.kind, store.system.newToken());
      const target = more.target ?? (await stand.newTarget());
      const { after = beforeAllOrders } = more;
      if (after === beforeAllOrders) await rebuilds.startCursor();
      const reading = createOutsideIndexing({
        ...{ ...surroundings(), reader: rebuildReader(stand.search.kind), index: target.write },
      });
      const turn = async () => {
        await target.turn?.();
        await rebuilds.putSearchBack();
      };
      return rebuild({
        readAfter: (id, limit) => readHistoriesAfter(database, id, limit),
        target: { ...target, turn: target.turn && turn },
        after,
        save: more.save ?? (async () => {}),
        catchUp: () => reading.runOnce(),
        onProgress: () => {},
        system: store.system,
        signal: patient,
      });
    };
    const place = async () => (await store.placed()).order.id;
    const cancel = (id: OrderId) => store.desk.cancel(id, null, 'c-cancel');

    it('brings every order, at its newest version', async () => {
      const ids = [];
      for (let count = 0; count < 25; count += 1) ids.push(await place());
      await cancel(ids[3] as OrderId);
      await work();
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
        changed.push(id);
        placed.push(await place());
        await work();
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
      await work();
      assert.deepEqual(await found(), [...before, ...placed].sort());
      const canceled = await found('CANCELED');
      for (const id of changed) assert.ok(canceled.includes(id), id);
    });

    it('takes the cursor away from a worker that is in the middle of a batch', async () => {
      const target = await stand.newTarget();
      if (target.turn === null) return;
      const before = await found();
      const late = await place();
      // It writes where readers read, and the turn comes before it has stored that it did.
      let turned = false;
      const slow = createSearchReader({
        ...surroundings(),
        search: {
          ...stand.search,
          index: async (documents, signal) => {
            const answers = await stand.search.index(documents, signal);
            if (!turned) {
              turned = true;
              await stand.forget();
              await rebuilds.putSearchBack();
            }
            return answers;
          },
        },
      });
      const rebuilds = createRebuilds(stand.opened.database, stand.search.kind, store.system.newToken());
      await rebuilds.startCursor();
      assert.equal(await slow.runOnce(), 1);
      assert.deepEqual(await found(), [], 'what it wrote went away with the old index');
      assert.equal(await unread(), 1, 'and its cursor was not stored');
      await work();
      assert.deepEqual(await found(), [late]);
      await run({});
      await work();
      assert.deepEqual(await found(), [...before, late].sort());
    });

    it('goes on after a kill from the last page that it has written', async () => {
      const all = await found();
      await stand.forget();
      const target = await stand.newTarget();
      let saved: OrderId | null = null;
      let written = 0;
      const killed = async () => {
        throw new Error('killed');
      };
      const broken = run({
        target: { ...target, turn: killed },
        save: async (after) => {
          saved = after;
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
      await run({ target: counting, after: saved });
      await work();
      assert.deepEqual(await found(), [...all, late].sort());
      assert.ok(written < all.length, `${written} were written again`);
    });

    it('belongs to one process at a time, and who lost it writes no more', async () => {
      const { database } = stand.opened;
      const one = createRebuilds(database, 'elasticsearch', store.system.newToken());
      const other = createRebuilds(database, 'elasticsearch', store.system.newToken());
      const held = await one.take('a-search-1');
      assert.equal(held?.target, 'a-search-1');
      assert.equal(await other.take('a-search-2'), null);
      const after = store.system.newId() as OrderId;
      await one.save(after);
      await one.release();
      assert.deepEqual(await other.take('a-search-2'), { target: 'a-search-1', after });
      await assert.rejects(one.save(after), RebuildLostError);
      await one.finish();
      assert.equal(await one.take('a-search-2'), null, 'who lost it ends it for nobody');
      await other.finish();
      assert.equal((await one.take('a-search-2'))?.target, 'a-search-2');
      await one.finish();
    });
  });
}
