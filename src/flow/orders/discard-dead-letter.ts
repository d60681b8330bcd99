// Discarding: a person ends a dead letter whose work nobody wants any more, and says why.
//
// Promises: the dead letter is closed, its work is never done, and who ended it and why is in the audit log, and so in
// the timeline. A dead letter of a core step is refused: its order waits for that very step, and ends by being
// canceled, which is done here where that is what was asked for.

import type { OrderRecord } from '../../domain/order-record.ts';
import { type Refusal, refuse } from '../../domain/refusals.ts';
import type { By, DeskChange, OpenDeadLetter } from '../ports.ts';
import { coreConsumers } from '../subscriptions.ts';
import { cancelOrder } from './cancel-order.ts';

export type DiscardRequest = {
  readonly deadLetterId: string;
  readonly reason: string;
  readonly correlationId: string;
  readonly by?: By | undefined;
  readonly cancelsOrder?: boolean | undefined;
};

export function discardDeadLetter(
  record: OrderRecord,
  open: readonly OpenDeadLetter[],
  { deadLetterId, reason, correlationId, by, cancelsOrder }: DiscardRequest,
  now: Date,
): DeskChange | Refusal | null {
  const { order } = record;
  const deadLetter = open.find(({ id }) => id === deadLetterId);
  if (deadLetter === undefined) return refuse('no-dead-letter', `there is no open dead letter ${deadLetterId}`);
  const { consumer } = deadLetter;
  if (coreConsumers.includes(consumer) && cancelsOrder)
    return cancelOrder(record, open, { reason, correlationId, by }, now);
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
    by,
  };
}
