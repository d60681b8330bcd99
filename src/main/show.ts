// `show ORDER`: one order and its timeline in readable lines, as a running API tells them.
//
// Promises: reads only, over HTTP, so it works beside a running product, the embedded database's too; an API that
// is not there, or does not know the order, is one sentence. Times are UTC; the first line has the date.

import type { System } from '../engine/ports.ts';
import { createAsk } from './ask-api.ts';

type Order = { readonly status: string; readonly payment: string; readonly fulfillment: string } & {
  readonly amount: number;
  readonly currency: string;
  readonly createdAt: string;
};
type Entry = { readonly at: string; readonly type: string; readonly text: string };
const gap = '  ';

export async function runShow(options: {
  readonly order: string;
  readonly url: string;
  readonly token: string | null;
  readonly system: Pick<System, 'after'>;
  readonly say: (text: string) => void;
}): Promise<void> {
  const { order: id, say } = options;
  const ask = createAsk(options);
  const path = `/orders/${encodeURIComponent(id)}`;
  const [order, { items }] = await Promise.all([
    ask<Order>('GET', path),
    ask<{ items: Entry[] }>('GET', `${path}/timeline`),
  ]);
  const { status, payment, fulfillment, amount, currency, createdAt } = order;
  const events = [status, `payment ${payment}`, `fulfillment ${fulfillment}`, `${amount} minor units of ${currency}`];
  const width = Math.max(...items.map(({ type }) => type.length));
  say(`${id}${gap}${events.join(' · ')}${gap}${createdAt.slice(0, 10)}`);
  for (const { at, type, text } of items) say(`${gap}${at.slice(11, 23)}${gap}${type.padEnd(width)}${gap}${text}`);
}
