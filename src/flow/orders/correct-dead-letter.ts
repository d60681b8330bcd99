// Correcting: a mail could not go to the address that is known; a person learns another one and sends the dead letter back.
//
// Promises: address and dead letter change together, under the order's lock, with a row of the audit log that shows no
// address in full. Only what no money depends on can be corrected: the dead letter of any other consumer is refused. The
// mail goes out under the key of the one that failed, so a mail that did arrive is not sent again.

import type { OrderRecord } from '../../domain/order-record.ts';
import { isRefusal, type Refusal, refuse } from '../../domain/refusals.ts';
import type { By, Correction, DeskChange, OpenDeadLetter } from '../ports.ts';
import { reprocessOrder } from './reprocess-order.ts';

export const correctable = 'notification';

export function correctDeadLetter(
  record: OrderRecord,
  open: readonly OpenDeadLetter[],
  request: {
    readonly deadLetterId: string;
    readonly correction: Correction;
    readonly correlationId: string;
    readonly by?: By | undefined;
  },
  now: Date,
): DeskChange | Refusal {
  const { deadLetterId, correction } = request;
  const deadLetter = open.find(({ id }) => id === deadLetterId);
  if (deadLetter !== undefined && deadLetter.consumer !== correctable) {
    const detail = `only the address of a mail can be corrected, and this is a dead letter of ${deadLetter.consumer}`;
    return refuse('not-correctable', detail);
  }
  const change = reprocessOrder(record, open, request, now);
  if (isRefusal(change)) return change;
  const { customerEmail, reason } = correction;
  const to = masked(customerEmail);
  const from = record.order.customerEmail === null ? null : masked(record.order.customerEmail);
  return {
    ...change,
    order: { ...change.order, customerEmail, updatedAt: now },
    action: 'letter-corrected',
    detail: { ...change.detail, field: 'customerEmail', from, to, reason },
  };
}

// Enough to see a slip of the hand by, for who knows the address.
const masked = (address: string) => `${address.slice(0, 1)}***${address.slice(address.indexOf('@'))}`;
