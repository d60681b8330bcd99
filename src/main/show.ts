// `show ORDER`: one order and its timeline in readable lines, as a running API tells them.
//
// Promises: reads only, over HTTP, so it works beside a running product, the embedded database's too; an API that
// is not there, or does not know the order, is one sentence. Times are UTC; the first line has the date.

import type { System } from '../engine/ports.ts';
import { StartError } from './start-error.ts';

type Order = { readonly status: string; readonly payment: string; readonly fulfillment: string } & {
  readonly amount: number;
  readonly currency: string;
  readonly createdAt: string;
};
type Entry = { readonly at: string; readonly type: string; readonly text: string };
type Problem = { readonly title?: string; readonly detail?: string };

// A page that is read by a person comes within seconds or not at all.
const answerMs = 10_000;
const gap = '  ';

export async function runShow(options: {
  readonly order: string;
  // Where the API listens.
  readonly host: string;
  readonly port: number;
  readonly system: Pick<System, 'after'>;
  readonly say: (text: string) => void;
}): Promise<void> {
  const { order: id, host, port, system, say } = options;
  const name = host === '0.0.0.0' || host === '::' ? 'localhost' : host.includes(':') ? `[${host}]` : host;
  const url = `http://${name}:${port}`;
  const ask = async <A>(path: string): Promise<A> => {
    const late = new AbortController();
    const timer = system.after(answerMs, () => late.abort());
    try {
      const response = await fetch(`${url}${path}`, { signal: late.signal });
      const body = (await response.json()) as A & Problem;
      if (response.ok) return body;
      throw new StartError(`${url} answers ${response.status}: ${body.detail ?? body.title ?? 'no reason given'}`);
    } catch (error) {
      if (error instanceof StartError) throw error;
      throw new StartError(
        `No API answers at ${url}: start one, or set HOST and PORT to where it listens, as they are set there.`,
      );
    } finally {
      timer.cancel();
    }
  };
  const path = `/orders/${encodeURIComponent(id)}`;
  const [order, { items }] = await Promise.all([ask<Order>(path), ask<{ items: Entry[] }>(`${path}/timeline`)]);
  const { status, payment, fulfillment, amount, currency, createdAt } = order;
  const events = [status, `payment ${payment}`, `fulfillment ${fulfillment}`, `${amount} minor units of ${currency}`];
  const width = Math.max(...items.map(({ type }) => type.length));
  say(`${id}${gap}${events.join(' · ')}${gap}${createdAt.slice(0, 10)}`);
  for (const { at, type, text } of items) say(`${gap}${at.slice(11, 23)}${gap}${type.padEnd(width)}${gap}${text}`);
}
