// The step of the consumer `notification`: tells the customer how the order ended.
//
// Promises: at most one message per order and kind, by the key at the mail partner; nobody is told what
// is not true any more: the kind is decided on the order as it stands. A dead letter here leaves the
// order alone. Process dies after sending: the next attempt sends under the same key.

import type { Fact } from '../bus/ports.ts';
import { decimalsOf } from '../domain/money.ts';
import type { Order } from '../domain/order.ts';
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

const subjects: Readonly<Record<MailKind, string>> = {
  processed: 'Your order is on its way',
  declined: 'Your payment was declined',
  canceled: 'Your order was canceled',
  failed: 'Your order needs our attention',
};

const sentences: Readonly<Record<MailKind, string>> = {
  processed: 'It is paid and booked for shipment.',
  declined: 'Your bank declined the payment, so the order was canceled. Nothing was charged.',
  canceled: 'The order was canceled. Money that was held for it is released once it is certain that nothing ships.',
  failed: 'Something went wrong on our side. You need to do nothing: a person looks at it.',
};

export function notifyCustomer(mail: Mail): OrderStep {
  return {
    admits: ({ order }, fact) => kindOf(fact, order) !== null,
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
          subject: subjects[kind],
          text: `Order ${order.id}: ${amountOf(order)}.\n${sentences[kind]}`,
        },
        signal,
      );
    },
    decide: () => null,
    retried: () => null,
    parked: () => null,
  };
}

// Making a format costs more than everything else here; there are some 170 currencies.
const formats = new Map<string, Intl.NumberFormat>();

function amountOf({ amount, currency }: Order): string {
  const decimals = decimalsOf(currency);
  let format = formats.get(currency);
  if (format === undefined) {
    format = new Intl.NumberFormat('en', { style: 'currency', currency, minimumFractionDigits: decimals });
    formats.set(currency, format);
  }
  return format.format(amount / 10 ** decimals);
}
