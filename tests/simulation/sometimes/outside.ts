// Situations at the partners.

import type { Call, OrderEvidence } from '../evidence.ts';
import { ofCommits, rare, type Sometimes } from './counter.ts';

const actsLike = (order: OrderEvidence, evidence: Parameters<Sometimes['count']>[0], act: string) =>
  evidence.ledger.actsOf(order.id).filter((one) => one.act === act).length;
// An effect went from one of these states to that one.
const effectsFrom = (order: OrderEvidence, from: readonly string[], to: readonly string[]) =>
  order.effectMoves.filter(({ before, after }) => from.includes(before?.state ?? '') && to.includes(after?.state ?? ''))
    .length;
const callsWith = (calls: readonly Call[], failureClass: string) =>
  calls.filter(({ trouble }) => trouble !== undefined && trouble !== null && trouble.class === failureClass).length;

const failureClasses = ['retryable', 'throttled', 'non-retryable', 'unknown'] as const;

export const outside: readonly Sometimes[] = [
  ofCommits('unknown outcome resolved', 'What may have been done turns out to be done, or declined.', (order) =>
    effectsFrom(order, ['unknown'], ['done', 'declined']),
  ),
  ofCommits('unknown outcome undone', 'What may have been done is undone by a cancel.', (order) =>
    effectsFrom(order, ['unknown', 'intent'], ['undone']),
  ),
  ofCommits(
    'late authorization voided',
    'An authorization of which nobody knew is released after a cancel.',
    (order, evidence) => {
      const wasKnown = order.events.some(({ type }) => type.startsWith('PaymentAuthorized'));
      return wasKnown ? 0 : actsLike(order, evidence, 'voided');
    },
  ),
  ofCommits('authorization voided', 'Money that was held is released after a cancel.', (order, evidence) =>
    actsLike(order, evidence, 'voided'),
  ),
  ofCommits(
    'key closed before its use',
    'An undo takes a key before the call that it is for arrives.',
    (order, evidence) => actsLike(order, evidence, 'closed'),
  ),
  ofCommits('booking recalled', 'A shipment is taken back after a cancel.', (order, evidence) =>
    actsLike(order, evidence, 'recalled'),
  ),
  ofCommits('recall refused', 'The carrier does not take a shipment back.', (order, evidence) =>
    actsLike(order, evidence, 'recall-refused'),
  ),
  ofCommits('booking rejected', 'The carrier does not take an order.', (order, evidence) =>
    actsLike(order, evidence, 'rejected'),
  ),
  ofCommits('payment declined', 'The provider declines an order.', (order, evidence) =>
    actsLike(order, evidence, 'declined'),
  ),
  ofCommits(
    'new key after a reprocess',
    'Nothing was done under the last key, so a reprocess takes another.',
    (order) =>
      order.effectMoves.filter(({ before, after }) => before !== null && before.generation !== after?.generation)
        .length,
  ),
  ofCommits('same key after a reprocess', 'Something may have been done, so a reprocess keeps the key.', (order) => {
    const back = order.moves.find(({ before, after }) => before?.status === 'FAILED' && after?.status === 'PENDING');
    if (back === undefined) return 0;
    return order.effectMoves.filter(
      ({ sequence, before, after }) =>
        sequence > back.sequence &&
        before?.token !== after?.token &&
        before?.state === 'unknown' &&
        after?.generation === before.generation,
    ).length;
  }),
  rare(
    ofCommits(
      'document refused',
      'The search takes a document for unfit, and a person is told.',
      (order) => [...order.deadLetters.values()].filter(({ code }) => code === 'document-refused').length,
    ),
  ),
  {
    name: 'looked up instead of sent',
    sentence: 'A partner that may have forgotten a key is asked what became of it.',
    count: ({ calls }) => calls.filter(({ call }) => call === 'lookup').length,
  },
  ...failureClasses.map(
    (name): Sometimes => ({
      name: `partner trouble ${name}`,
      sentence: `A partner's call fails as ${name}.`,
      count: ({ calls }) => callsWith(calls, name),
    }),
  ),
];
