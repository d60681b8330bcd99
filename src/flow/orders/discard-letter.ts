// Discarding: a person ends a dead letter whose work nobody wants any more, and says why.
//
// Promises: the letter is closed, its work is never done, and who ended it and why is in the audit log, and so in the
// timeline. A letter of a core step is refused: its order waits for that very step, and ends by being canceled.

import { type Refusal, refuse } from '../../domain/refusals.ts';
import type { DeskChange, OpenLetter, OrderRecord } from '../ports.ts';
import { coreConsumers } from '../subscriptions.ts';

export type DiscardRequest = { readonly letterId: string; readonly reason: string; readonly correlationId: string };

export function discardLetter(
  { order }: OrderRecord,
  open: readonly OpenLetter[],
  { letterId, reason, correlationId }: DiscardRequest,
): DeskChange | Refusal {
  const letter = open.find(({ id }) => id === letterId);
  if (letter === undefined) return refuse('no-dead-letter', `there is no open dead letter ${letterId}`);
  const { consumer } = letter;
  if (coreConsumers.includes(consumer)) {
    const detail = `order ${order.id} cannot go on without ${consumer}: cancel the order, which closes this dead letter`;
    return refuse('order-needs-cancel', detail);
  }
  return {
    order,
    facts: [],
    effects: [],
    causationId: null,
    closes: [letterId],
    closing: 'discarded',
    action: 'letter-discarded',
    detail: { letters: [{ id: letterId, consumer }], reason },
    correlationId,
  };
}
