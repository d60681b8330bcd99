// For partners that undo what they have done by their own id, and know no undo by our key that closes it.
//
// Promises: the two halves of the port's undo. The first call is repeated under its key, which tells the id, or does now
// what was not done; then it is undone by that id. From then on the key repeats its first answer and does nothing
// anew, for as long as the partner remembers it; a call that is still on its way finds it so. Where the partner may
// have forgotten the key nothing is repeated: it is looked up, and what is not found is a person's to find out.

import { OutsideError } from '../../engine/ports.ts';
import type {
  AuthorizeAnswer,
  AuthorizeRequest,
  BookAnswer,
  BookRequest,
  Partners,
  Spent,
  Undo,
} from '../../flow/ports.ts';

// `void` and `recall` of these partners expect what is there.
export function undoingByRepetition(partners: Partners): Partners {
  const { payments, carrier } = partners;
  return {
    ...partners,
    payments: {
      ...payments,
      void: async (undo: Undo<AuthorizeRequest>, signal) => {
        const { authorize, lookup } = payments;
        const found = await whatIsThere(undo, { again: authorize, lookup }, signal);
        return found?.outcome === 'authorized' ? payments.void(undo, signal) : { outcome: 'nothing-held' };
      },
    },
    carrier: {
      ...carrier,
      recall: async (undo: Undo<BookRequest>, signal) => {
        const { book, lookup } = carrier;
        const found = await whatIsThere(undo, { again: book, lookup }, signal);
        return found?.outcome === 'booked' ? carrier.recall(undo, signal) : { outcome: 'nothing-booked' };
      },
    },
  };
}

// Null = certainly nothing, and never will be.
async function whatIsThere<Q, A extends AuthorizeAnswer | BookAnswer>(
  { key, of }: Undo<Q>,
  ask: {
    readonly again: (request: Q, signal: AbortSignal) => Promise<A | Spent>;
    readonly lookup: (key: string, signal: AbortSignal) => Promise<A | null>;
  },
  signal: AbortSignal,
): Promise<A | null> {
  if (of === undefined) throw new Error('an undo by repetition needs the request that it undoes');
  if (of.mayHaveForgotten) {
    const found = await ask.lookup(key, signal);
    if (found !== null) return found;
    throw new OutsideError({
      class: 'non-retryable',
      code: 'outcome-unresolved',
      message: 'it may have been done long ago, and the partner cannot tell any more; ask it before you go on',
      dependencyDown: false,
    });
  }
  const answer = await ask.again(of.request, signal);
  // Here a lookup that finds nothing is certain: the key answers nothing else any more.
  return isSpent(answer) ? ask.lookup(key, signal) : answer;
}

function isSpent(answer: { readonly outcome: string }): answer is Spent {
  return answer.outcome === 'spent';
}
