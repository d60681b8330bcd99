// What a customer is told, in plain text and in HTML.
//
// Promises: pure; what customers wrote (names of goods) can neither add markup nor a header nor a line; a message
// says nothing that its kind does not mean.

import { decimalsOf } from '../../domain/money.ts';
import type { Order } from '../../domain/order.ts';
import type { MailKind } from '../ports.ts';

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

// An order may have a hundred lines; nobody reads more of them in a mail.
const linesMax = 20;

export type MailText = { readonly subject: string; readonly text: string; readonly html: string };

export function mailText(kind: MailKind, order: Order): MailText {
  const opening = `Order ${order.id}: ${amountOf(order)}.`;
  const lines = order.items.slice(0, linesMax).map(({ quantity, sku }) => `${quantity} × ${onOneLine(sku)}`);
  if (order.items.length > linesMax) lines.push(`and ${order.items.length - linesMax} more`);
  return {
    subject: subjects[kind],
    text: [opening, sentences[kind], '', ...lines].join('\n'),
    html:
      `<!doctype html><html lang="en"><body><p>${escaped(opening)}<br>${escaped(sentences[kind])}</p>` +
      `<ul>${lines.map((line) => `<li>${escaped(line)}</li>`).join('')}</ul></body></html>`,
  };
}

// Whatever ends a line for some reader; the schema of a request refuses them, and an older row may have them.
const onOneLine = (text: string) => text.replace(/[\p{Cc}\p{Zl}\p{Zp}]+/gu, ' ');

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};
const escaped = (text: string) => text.replace(/[&<>"']/g, (sign) => entities[sign] ?? '');

// Making a format costs more than everything else here; there are some 170 currencies.
const formats = new Map<string, Intl.NumberFormat>();

function amountOf({ amount, currency }: Order): string {
  const decimals = decimalsOf(currency);
  let format = formats.get(currency);
  if (format === undefined) {
    format = new Intl.NumberFormat('en', { style: 'currency', currency, minimumFractionDigits: decimals });
    formats.set(currency, format);
  }
  // As a decimal string, which is formatted exactly: a division would cost the last digits of large amounts.
  const digits = String(amount).padStart(decimals + 1, '0');
  const point = digits.length - decimals;
  return format.format(`${digits.slice(0, point)}.${digits.slice(point) || '0'}` as Intl.StringNumericLiteral);
}
