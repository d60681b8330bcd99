// Discarding: a person ends a dead letter whose work nobody wants any more, and says why.
//
// Promises: the dead letter is closed, its work is never done, and who ended it and why is in the audit log, and so in
// the timeline. A dead letter of a core step is refused: its order waits for that very step, and ends by being
// canceled.

import type { OrderRecord } from '../../domain/order-record.ts';
import { type Refusal, refuse } from '../../domain/refusals.ts';
import type { DeskChange, OpenDeadLetter } from '../ports.ts';
import { coreConsumers } from '../subscriptions.ts';

export type DiscardRequest = { readonly deadLetterId: string; readonly reason: string; readonly correlationId: string };

export function discardDeadLetter(
  { order }: OrderRecord,
  open: readonly OpenDeadLetter[],
  { deadLetterId, reason, correlationId }: DiscardRequest,
): DeskChange | Refusal {
  const deadLetter = open.find(({ id }) => id === deadLetterId);
  if (deadLetter === undefined) return refuse('no-dead-letter', `there is no open dead letter ${deadLetterId}`);
  const { consumer } = deadLetter;
  if (coreConsumers.includes(consumer)) {
    const detail = `order ${order.id} cannot go on without ${consumer}: cancel the order, which closes this dead letter`;
    return refuse('order-needs-cancel', detail);
  }
  return {
    order,
    events: [],
    effects: [],
    causationId: null,
    closes: [deadLetterId],
    closing: 'discarded',
    action: 'letter-discarded',
    detail: { letters: [{ id: deadLetterId, consumer }], reason },
    correlationId,
  };
}
