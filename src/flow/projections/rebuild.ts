// Building all documents anew from the orders, while the system works on and is searched.
//
//   every order, page by page ─▶ what has changed since, again and again ─▶ the turn ─▶ what has changed since
//
// Promises: in the end every order has its document, at a version no older than any that a worker had
// stored; broken off or killed at any line, it goes on from its last page; readers turn at one moment.
// Relies on versions, which make doubles harmless, and on workers writing where readers read: what they wrote
// before the turn may be missing, but its facts were committed by then, so the last look finds their orders.

import type { OrderId } from '../../domain/order.ts';
import { OutsideError, type System } from '../../engine/ports.ts';
import { toDocument } from './order-document.ts';
import type { OrderDocument, OrderHistory, ReadHistories, Search } from './search-ports.ts';

// Orders per page: some ten milliseconds of the database's time.
export const pageOrders = 1_000;
// A look that finds less than a page is short enough; where orders change faster than they are written, the
// turn comes after this many all the same.
const looksMax = 10;
// A cluster that is busy or away is asked again this often, and so many times.
const retryPauseMs = 1_000;
const retriesMax = 600;

export type RebuildSource = {
  readonly after: (id: OrderId, limit: number) => Promise<readonly OrderHistory[]>;
  readonly read: ReadHistories;
  // A place in time that no fact of an order read later is missing behind.
  readonly now: () => Promise<string>;
  // The orders with facts since that place, in batches; one may come twice.
  readonly changedSince: (place: string) => AsyncIterable<readonly OrderId[]>;
};
export type RebuildTarget = {
  readonly write: Search['index'];
  // Readers and writers find the new documents from here on. Null = they always did.
  readonly turn: (() => Promise<void>) | null;
};
// Where a rebuild is: every order up to `after` is written; what has changed since `since` may not be.
export type RebuildPlace = { readonly since: string; readonly after: OrderId };

export type Rebuilt = { readonly orders: number; readonly refused: readonly string[] };

export async function rebuild(options: {
  readonly source: RebuildSource;
  readonly target: RebuildTarget;
  readonly from: RebuildPlace;
  readonly save: (place: RebuildPlace) => Promise<void>;
  readonly onProgress: (orders: number, stage: 'orders' | 'changes') => void;
  readonly system: Pick<System, 'sleep'>;
  readonly signal: AbortSignal;
}): Promise<Rebuilt> {
  const { source, target, save, onProgress, system, signal } = options;
  const refused: string[] = [];
  let orders = 0;
  let { since, after } = options.from;

  // Until each is stored, or refused for its own sake.
  async function write(documents: readonly OrderDocument[]): Promise<void> {
    let left = documents;
    for (let tries = 1; left.length > 0; tries += 1) {
      signal.throwIfAborted();
      try {
        const answers = await target.write(left, signal);
        refused.push(
          ...left.flatMap(({ id }, nth) => (isRefused(answers[nth]) ? [`${id}: ${saidOf(answers[nth])}`] : [])),
        );
        left = left.filter((_, nth) => typeof answers[nth] !== 'string' && !isRefused(answers[nth]));
        if (left.length === 0) return;
      } catch (error) {
        if (!(error instanceof OutsideError) || error.trouble.class === 'non-retryable') throw error;
        if (tries === retriesMax) throw error;
      }
      if (tries === retriesMax) throw new Error('the search did not take the documents');
      await system.sleep(retryPauseMs, signal);
    }
  }

  async function writeOrders(histories: readonly OrderHistory[], stage: 'orders' | 'changes'): Promise<void> {
    await write(histories.map(toDocument));
    orders += histories.length;
    onProgress(orders, stage);
  }

  // The next page is read while this one is written.
  let next = source.after(after, pageOrders);
  for (let page = await next; page.length > 0; page = await next) {
    signal.throwIfAborted();
    after = page.at(-1)?.order.id ?? after;
    next = source.after(after, pageOrders);
    // Looked at again below; a failure of the write must not leave this one unheard.
    next.catch(() => {});
    await writeOrders(page, 'orders');
    // Dies before this: the page is written once more.
    await save({ since, after });
  }

  async function catchUp(): Promise<number> {
    const from = await source.now();
    let changed = 0;
    for await (const ids of source.changedSince(since)) {
      signal.throwIfAborted();
      changed += ids.length;
      await writeOrders(await source.read([...new Set(ids)]), 'changes');
    }
    since = from;
    return changed;
  }

  if (target.turn !== null) {
    for (let looks = 1; (await catchUp()) >= pageOrders && looks < looksMax; looks += 1) await save({ since, after });
    await save({ since, after });
    // Dies here, before or after: the next run looks for changes since then, and turns again.
    await target.turn();
    await catchUp();
  }
  return { orders, refused };
}

type Answer = Awaited<ReturnType<Search['index']>>[number] | undefined;
const isRefused = (answer: Answer) => typeof answer === 'object' && answer.class === 'non-retryable';
const saidOf = (answer: Answer) => (typeof answer === 'object' ? answer.message : '');
