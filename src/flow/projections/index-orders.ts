// Bringing documents up to what the database says of their orders, a batch of events at a time.
//
// Promises: each order of a batch is read once, as it stands, and makes one document under its version; no older
// version ever replaces a newer one, so that doing it again is harmless. A document that is refused is the refusal of
// its order's last event; where one after the other is refused, none is to blame. A search that is away, or that
// refuses a whole call, costs nobody anything.
// Process dies around the call: the events are read again, and the same is written, or something newer.

import type { OrderId } from '../../domain/order.ts';
import type { LoggedEvent, Refused } from '../../engine/event-log.ts';
import { OutsideError, type System, type Trouble } from '../../engine/ports.ts';
import { toDocument } from './order-document.ts';
import type { IndexAnswer, OrderDocument, OrderHistory, ReadHistories, Search } from './search-ports.ts';

// Refusals one after the other: the index, or this release, is wrong, and not the orders.
const refusalsInARowMax = 3;

export type IndexEvents = (events: readonly LoggedEvent[], signal: AbortSignal) => Promise<readonly Refused[]>;

// Rejects with OutsideError where the documents may not be stored, with UntoldError where one cannot be made.
export function createIndexing(options: {
  readonly index: Search['index'];
  readonly readHistories: ReadHistories;
  readonly timeoutMs: number;
  readonly system: Pick<System, 'after'>;
  // Whether the search has answered.
  readonly onAnswer?: (trouble: Trouble | null) => void;
}): IndexEvents {
  const { index, readHistories, timeoutMs, system, onAnswer = () => {} } = options;
  // How many documents were refused since one was not, over all batches.
  let inARow = 0;

  async function within(documents: readonly OrderDocument[], signal: AbortSignal): Promise<readonly IndexAnswer[]> {
    const bound = new AbortController();
    const stop = () => bound.abort(signal.reason);
    signal.addEventListener('abort', stop, { once: true });
    const silence = new OutsideError(silent(timeoutMs));
    const timer = system.after(timeoutMs, () => bound.abort(silence));
    const ended = new Promise<never>((_, reject) => {
      bound.signal.addEventListener('abort', () => reject(bound.signal.reason), { once: true });
    });
    try {
      signal.throwIfAborted();
      return await Promise.race([ended, index(documents, bound.signal)]);
    } catch (error) {
      throw bound.signal.aborted ? bound.signal.reason : error;
    } finally {
      timer.cancel();
      signal.removeEventListener('abort', stop);
    }
  }

  return async (events, signal) => {
    const documents = documentsOf(events, await readHistories(ordersOf(events)));
    try {
      const answers = await within(documents, signal);
      const refused = refusalsOf(events, documents, answers, inARow);
      for (const answer of answers) inARow = typeof answer === 'string' ? 0 : inARow + 1;
      onAnswer(null);
      return refused;
    } catch (error) {
      if (error instanceof OutsideError) onAnswer(error.trouble);
      throw error;
    }
  };
}

export const ordersOf = (events: readonly LoggedEvent[]): OrderId[] => [
  ...new Set(events.map(({ event }) => event.subject as OrderId)),
];

// An order of the batch cannot be told of; the others could.
export class UntoldError extends Error {
  constructor(id: OrderId, cause: unknown) {
    super(`order ${id} has no document: ${String(cause)}`, { cause });
    this.name = 'UntoldError';
  }
}

// Of each order whose document is not known to be stored already. Throws UntoldError.
export function documentsOf(
  events: readonly LoggedEvent[],
  histories: readonly (OrderHistory & { readonly isStored?: boolean })[],
): OrderDocument[] {
  const byId = new Map(histories.map((history) => [history.order.id, history]));
  return ordersOf(events).flatMap((id) => {
    const history = byId.get(id);
    if (history === undefined) throw new UntoldError(id, 'it cannot be read');
    if (history.isStored) return [];
    try {
      return [toDocument(history)];
    } catch (error) {
      throw new UntoldError(id, error);
    }
  });
}

function refusalsOf(
  events: readonly LoggedEvent[],
  documents: readonly OrderDocument[],
  answers: readonly IndexAnswer[],
  refusedBefore: number,
): readonly Refused[] {
  const lastOf = new Map(events.map(({ position, event }) => [event.subject, position]));
  const refused: Refused[] = [];
  let inARow = refusedBefore;
  for (const [nth, { id }] of documents.entries()) {
    const answer = answers[nth];
    const position = lastOf.get(id);
    if (answer === undefined || position === undefined) throw new Error(`the search has not answered for order ${id}`);
    inARow = typeof answer === 'string' ? 0 : inARow + 1;
    if (typeof answer === 'string') continue;
    // Away or busy in the middle of the batch; the others are written again.
    if (answer.class !== 'non-retryable') throw new OutsideError({ ...answer, dependency: 'search' });
    if (inARow >= refusalsInARowMax) throw new OutsideError(refusesAll(answer));
    refused.push({ position, trouble: { ...answer, dependency: 'search' } });
  }
  return refused.toSorted((one, other) => one.position - other.position);
}

function refusesAll({ message }: Trouble): Trouble {
  return {
    class: 'throttled',
    code: 'search-unavailable',
    message: `the search refuses one document after the other: ${message}`,
    dependencyDown: true,
    dependency: 'search',
  };
}

// Writing a document again changes nothing, so silence is no doubt.
export const silentCode = 'search-timeout';
function silent(timeoutMs: number): Trouble {
  const message = `the search did not answer within ${timeoutMs} ms`;
  return { class: 'throttled', code: silentCode, message, dependencyDown: true, dependency: 'search' };
}
