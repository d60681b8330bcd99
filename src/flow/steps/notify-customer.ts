// The step of the consumer `notification`: tells the customer how the order ended.
//
// Promises: at most one message per order and kind; nobody is told what is not true any more: the kind is
// decided on the order as it stands. A dead letter here leaves the order alone. An order without an address is
// skipped where the partner needs one. Whoever is told nothing, the timeline says why.
// Process dies after sending: a partner that knows keys is asked again under the same one; of one that knows
// none a person must find out, and decides.

import type { Order } from '../../domain/order.ts';
import type { Event, Skipped } from '../../engine/ports.ts';
import type { Mail, MailKind, OrderStep } from '../ports.ts';
import { mailText } from './mail-text.ts';

// What to tell, or why nothing; null where another event tells it.
function kindOf(event: Event, order: Order): MailKind | Skipped | null {
  switch (event.type) {
    case 'FulfillmentScheduledV1':
      return order.status === 'PROCESSED' ? 'processed' : outdated;
    case 'PaymentFailedV1':
      // One that came after somebody's cancel is not why the order was canceled.
      return order.reason?.code === 'payment-declined' ? 'declined' : outdated;
    case 'OrderCanceledV1':
      // A decline is a message of its own.
      return order.reason?.code === 'payment-declined' ? null : 'canceled';
    case 'OrderFailedV1':
      return order.status === 'FAILED' ? 'failed' : outdated;
    default:
      return null;
  }
}

const outdated: Skipped = { code: 'mail-outdated', message: 'the order has moved on, and this is no news any more' };
const unaddressed: Skipped = { code: 'mail-without-address', message: 'no e-mail address of the customer is known' };

export function notifyCustomer(mail: Mail): OrderStep {
  const plan = (event: Event, order: Order): MailKind | Skipped | null => {
    const kind = kindOf(event, order);
    return typeof kind === 'string' && order.customerEmail === null && mail.needsAddress === true ? unaddressed : kind;
  };
  return {
    mayRepeat: mail.knowsKeys !== false,
    admits: ({ order }, event) => typeof plan(event, order) === 'string',
    skipped: ({ order }, event) => {
      const planned = plan(event, order);
      return typeof planned === 'string' ? null : planned;
    },
    claimed: () => null,
    perform: async (work, signal) => {
      const { order } = work.subject;
      const kind = plan(work.event, order);
      // The table of subscriptions and `admits` see to it that there is one.
      if (typeof kind !== 'string') return;
      await mail.send(
        {
          key: `${order.id}:mail:${kind}`,
          orderId: order.id,
          kind,
          to: order.customerEmail ?? order.userId ?? '',
          ...mailText(kind, order),
        },
        signal,
      );
    },
    decide: () => null,
    retried: () => null,
    parked: () => null,
  };
}
