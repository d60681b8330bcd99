// What can be seen from outside: orders, timelines and dead letters through the API, and what the
// partners really did through their ledger.
//
// Promises: `expect` ends the story at the first thing that is not as told, and says what was seen
// instead; waiting ends with what was seen last.

import { isDeepStrictEqual } from 'node:util';
import { until } from '../tests/support/until.ts';
import type { Answer, Cast, DeadLetter, LedgerEntry, Order, TimelineEntry } from './cast.ts';

type Partner = LedgerEntry['partner'];

export function expect(what: string, seen: unknown, expected: unknown): void {
  if (isDeepStrictEqual(seen, expected)) return;
  throw new Error(`${what}: expected ${JSON.stringify(expected)}, saw ${JSON.stringify(seen)}.`);
}

export function parse<T>({ text }: Answer): T {
  return JSON.parse(text) as T;
}

export async function readOrder(cast: Cast, id: string): Promise<Order> {
  return parse(await cast.ask('GET', `/orders/${id}`));
}

export async function readTimeline(cast: Cast, id: string): Promise<readonly TimelineEntry[]> {
  return parse<{ items: TimelineEntry[] }>(await cast.ask('GET', `/orders/${id}/timeline`)).items;
}

export async function openDeadLetters(cast: Cast): Promise<readonly DeadLetter[]> {
  return parse<{ items: DeadLetter[] }>(await cast.ask('GET', '/dlq')).items;
}

export function orderBecomes(cast: Cast, id: string, wanted: Partial<Order>): Promise<Order> {
  const fields = Object.keys(wanted) as (keyof Order)[];
  return until(
    async () => {
      const order = await readOrder(cast, id);
      if (fields.every((field) => order[field] === wanted[field])) return order;
      throw new Error(`it is ${order.status}, payment ${order.payment}, fulfillment ${order.fulfillment}`);
    },
    `order ${id} with ${JSON.stringify(wanted)}`,
  );
}

export function isMailed(cast: Cast, id: string, kind: string): Promise<boolean> {
  return until(async () => kindsOfMail(await cast.ledgerOf(id)).includes(kind), `a mail "${kind}" for order ${id}`);
}

export function kindsOfMail(entries: readonly LedgerEntry[]): readonly unknown[] {
  return entries.filter(({ partner }) => partner === 'mail').map(({ terms }) => terms?.kind);
}

// What a partner really did: a tombstone or a refusal has no reference.
export function doneBy(partner: Partner, entries: readonly LedgerEntry[]): readonly LedgerEntry[] {
  return entries.filter((entry) => entry.partner === partner && entry.reference !== null);
}

export async function answerIsOnTheWay(cast: Cast, isSo: boolean): Promise<void> {
  await until(
    async () => (await cast.answersOnTheWay()) === (isSo ? 1 : 0),
    'the end, or the begin, of a call that hangs',
  );
}
