// The step of the consumer `search`: brings an order's document up to what the database says of it.
//
// Promises: the order of facts does not matter. A fact that is not the order's latest is skipped, because
// the latest one brings the document; what is written is the order with its facts as read just now, under
// their version, and no older version ever replaces a newer one. Many orders go out in one call, and one
// that is refused is a dead letter by itself.
// Process dies around the call: the next attempt writes the same, or something newer.

import type { OrderId } from '../../domain/order.ts';
import { OutsideError, type System, type Trouble, UnavailableError } from '../../engine/ports.ts';
import type { OrderStep } from '../ports.ts';
import { createGathering } from './gather.ts';
import { toDocument } from './order-document.ts';
import type { IndexAnswer, OrderDocument, OrderHistory, ReadHistories, Search } from './search-ports.ts';

// Documents per call: more make a call longer and hardly cheaper.
const rowsMax = 256;
// One is read and built while another one is written.
const callsMax = 2;

// Resolves when the document of the order is as new as the order was at the call.
export type IndexOrder = (id: OrderId, signal: AbortSignal) => Promise<void>;

export function createIndexing(options: {
  readonly search: Pick<Search, 'index'>;
  readonly readHistories: ReadHistories;
  readonly timeoutMs: number;
  readonly system: Pick<System, 'after'>;
}): IndexOrder {
  const { search, readHistories, timeoutMs, system } = options;

  async function call(ids: readonly OrderId[]): Promise<(undefined | Error)[]> {
    const histories = await readHistories(ids).catch((error) => {
      throw error instanceof UnavailableError ? unreadable(error) : error;
    });
    const built = new Map(histories.map((history) => [history.order.id, documentOf(history)]));
    const documents = [...built.values()].filter((one): one is OrderDocument => !(one instanceof Error));
    const answers = documents.length === 0 ? [] : await within(documents);
    const answered = new Map(documents.map(({ id }, index) => [id, answers[index] as IndexAnswer]));
    return ids.map((id) => {
      const document = built.get(id);
      if (document instanceof Error) return document;
      const answer = answered.get(id);
      if (answer === undefined) return new Error(`order ${id} cannot be read`);
      return typeof answer === 'string' ? undefined : new OutsideError({ ...answer, dependency: 'search' });
    });
  }

  async function within(documents: readonly OrderDocument[]): Promise<readonly IndexAnswer[]> {
    const bound = new AbortController();
    let timer: { cancel: () => void } | undefined;
    const silent = new Promise<never>((_, reject) => {
      timer = system.after(timeoutMs, () => {
        bound.abort(new Error(`no answer within ${timeoutMs} ms`));
        reject(new OutsideError(silence(timeoutMs)));
      });
    });
    try {
      return await Promise.race([silent, search.index(documents, bound.signal)]);
    } catch (error) {
      if (bound.signal.aborted)
        throw new OutsideError({ ...silence(timeoutMs), dependency: 'search' }, { cause: error });
      if (!(error instanceof OutsideError)) throw error;
      throw new OutsideError({ ...error.trouble, dependency: 'search' }, { cause: error });
    } finally {
      timer?.cancel();
    }
  }

  const gather = createGathering<OrderId, undefined>({ call, rowsMax, callsMax });
  return (id, signal) => gather(id, signal);
}

export function indexOrder(index: IndexOrder): OrderStep {
  // Whoever wrote the newer version owes the document now.
  const outdated = (version: number, of: number) => (of > version ? 'obsolete' : null);
  return {
    admits: ({ order }, fact) => fact.version >= order.version,
    claimed: () => null,
    perform: (work, signal) => index(work.subject.order.id, signal),
    decide: () => null,
    retried: ({ order }, { fact }) => outdated(fact.version, order.version),
    parked: ({ order }, { fact }) => outdated(fact.version, order.version),
  };
}

function documentOf(history: OrderHistory): OrderDocument | Error {
  try {
    return toDocument(history);
  } catch (error) {
    return error as Error;
  }
}

// The database is away: nobody's fault, and no breaker's business.
function unreadable(error: UnavailableError): OutsideError {
  const trouble: Trouble = {
    class: 'throttled',
    code: 'orders-unreadable',
    message: `the orders could not be read: ${error.message}`,
    dependencyDown: false,
  };
  return new OutsideError(trouble, { cause: error });
}

// Writing a document again changes nothing, so silence is no doubt.
function silence(timeoutMs: number): Trouble {
  const message = `the search did not answer within ${timeoutMs} ms`;
  return { class: 'throttled', code: 'search-timeout', message, dependencyDown: true };
}
