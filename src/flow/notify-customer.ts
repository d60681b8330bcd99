// The step of the consumer `notification`: tells the customer how the order ended.
//
// Promises: at most one message per order and kind; nobody is told what is not true any more: the kind is
// decided on the order as it stands. A dead letter here leaves the order alone. An order without an address is
// skipped where the partner needs one.
// Process dies after sending: a partner that knows keys is asked again under the same one; of one that knows
// none a person must find out, and decides.

import type { Fact } from '../bus/ports.ts';
import type { Order } from '../domain/order.ts';
import { mailText } from './mail-text.ts';
import type { Mail, MailKind, OrderStep } from './ports.ts';

function kindOf(fact: Fact, order: Order): MailKind | null {
  switch (fact.type) {
    case 'FulfillmentScheduledV1':
      return order.status === 'PROCESSED' ? 'processed' : null;
    case 'PaymentFailedV1':
      // One that came after somebody's cancel is not why the order was canceled.
      return order.reason?.code === 'payment-declined' ? 'declined' : null;
    case 'OrderCanceledV1':
      // A decline is a message of its own.
      return order.reason?.code === 'payment-declined' ? null : 'canceled';
    case 'OrderFailedV1':
      return order.status === 'FAILED' ? 'failed' : null;
    default:
      return null;
  }
}

export function notifyCustomer(mail: Mail): OrderStep {
  return {
    mayRepeat: mail.knowsKeys !== false,
    admits: ({ order }, fact) =>
      kindOf(fact, order) !== null && (order.customerEmail !== null || mail.needsAddress !== true),
    claimed: () => null,
    perform: async (work, signal) => {
      const { order } = work.subject;
      const kind = kindOf(work.fact, order);
      // The table of subscriptions and `admits` see to it that there is one.
      if (kind === null) return;
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
