// Building all documents anew from the orders, while the system works on and is searched.
//
//   every order, page by page ─▶ the events since it began, batch by batch ─▶ the turn
//
// Promises: in the end every order has its document, or a later event of it is still to be read by whoever goes on
// from the rebuild's cursor; broken off or killed at any line, it goes on from its last page; readers turn at one moment.
// Relies on versions, which make doubles harmless, and on the cursor having been put where the search was before the
// first page was read: what was handled by then is in the pages.

import type { OrderId } from '../../domain/order.ts';
import { OutsideError, type System } from '../../engine/ports.ts';
import { toDocument } from './order-document.ts';
import type { OrderDocument, OrderHistory, Search } from './search-ports.ts';

// Orders per page: some ten milliseconds of the database's time.
export const pageOrders = 1_000;
// What is left for after the turn is then a fraction of a second's work; where events come faster than they are
// read, the turn comes after so many batches all the same.
const fewEvents = 100;
const batchesMax = 100_000;
// A cluster that is busy or away is asked again this often, and so many times.
const retryPauseMs = 1_000;
const retriesMax = 600;

export type RebuildTarget = {
  readonly write: Search['index'];
  // Readers and writers find the new documents from here on. Null = they always did, and nothing is to catch up with.
  readonly turn: (() => Promise<void>) | null;
};

export type Rebuilt = { readonly orders: number; readonly refused: readonly string[] };

export async function rebuild(options: {
  readonly readAfter: (id: OrderId, limit: number) => Promise<readonly OrderHistory[]>;
  readonly target: RebuildTarget;
  // Every order up to here is written.
  readonly after: OrderId;
  readonly save: (after: OrderId) => Promise<void>;
  // Brings the documents of the next events, and moves the rebuild's cursor; answers how many events there were.
  readonly catchUp: () => Promise<number>;
  readonly onProgress: (orders: number) => void;
  readonly system: Pick<System, 'sleep'>;
  readonly signal: AbortSignal;
}): Promise<Rebuilt> {
  const { readAfter, target, save, catchUp, onProgress, system, signal } = options;
  const refused: string[] = [];
  let orders = 0;
  let { after } = options;

  // Whatever is the matter with the cluster, an answer for each document comes in the end, or there is no going on.
  async function insist<A>(ask: () => Promise<A | 'again'>): Promise<A> {
    for (let tries = 1; ; tries += 1) {
      signal.throwIfAborted();
      try {
        const answer = await ask();
        if (answer !== 'again') return answer;
        if (tries === retriesMax) throw new Error('the search did not take the documents');
      } catch (error) {
        const mayPass = error instanceof OutsideError && error.trouble.class !== 'non-retryable';
        if (!mayPass || tries === retriesMax) throw error;
      }
      await system.sleep(retryPauseMs, signal);
    }
  }

  // Until each is stored, or refused for its own sake.
  async function write(documents: readonly OrderDocument[]): Promise<void> {
    let left = documents;
    await insist(async () => {
      if (left.length === 0) return null;
      const answers = await target.write(left, signal);
      refused.push(
        ...left.flatMap(({ id }, nth) => (isRefused(answers[nth]) ? [`${id}: ${saidOf(answers[nth])}`] : [])),
      );
      left = left.filter((_, nth) => typeof answers[nth] !== 'string' && !isRefused(answers[nth]));
      return left.length === 0 ? null : 'again';
    });
  }

  // The next page is read while this one is written.
  let next = readAfter(after, pageOrders);
  for (let page = await next; page.length > 0; page = await next) {
    signal.throwIfAborted();
    after = page.at(-1)?.order.id ?? after;
    next = readAfter(after, pageOrders);
    // Looked at again below; a failure of the write must not leave this one unheard.
    next.catch(() => {});
    await write(page.map(toDocument));
    orders += page.length;
    onProgress(orders);
    // Dies before this: the page is written once more.
    await save(after);
  }
  if (target.turn !== null) {
    for (let batches = 0; batches < batchesMax && (await insist(catchUp)) >= fewEvents; batches += 1) await save(after);
    // Dies here, before or after: the next run goes on with the events, and turns again.
    await target.turn();
  }
  return { orders, refused };
}

type Answer = Awaited<ReturnType<Search['index']>>[number] | undefined;
const isRefused = (answer: Answer) => typeof answer === 'object' && answer.class === 'non-retryable';
const saidOf = (answer: Answer) => (typeof answer === 'object' ? answer.message : '');
