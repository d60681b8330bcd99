// One order in the database beside what the partners' ledger has of it.
//
// Promises: the ledger is read after the order, so what an order has certainly done by then must be in
// it; what may have happened between the two readings is no finding for who looks twice. An order in the
// middle of an undo is left alone: its partners are ahead of it.
// Relies on a key being used for one effect of one order.

import { keyOfEffect } from '../../domain/effects.ts';
import type { Finding, PromiseName } from './promises.ts';
import type { SeenOrder } from './seen-order.ts';

export type SeenEntry = {
  readonly partner: 'payments' | 'carrier' | 'mail';
  readonly orderId: string;
  readonly key: string;
  readonly state: string;
  readonly reference: string | null;
  // What it was for: of a payment its amount and currency, of a mail its kind.
  readonly amount: unknown;
  readonly currency: unknown;
  readonly kind: unknown;
};

const live: readonly string[] = ['authorized', 'booked'];
const sides = [
  { name: 'authorization', partner: 'payments', verb: 'authorized' },
  { name: 'booking', partner: 'carrier', verb: 'booked' },
] as const;

// `order` is null for an id that the database does not have.
export function judgeLedger(
  orderId: string,
  order: SeenOrder | null,
  isUndone: boolean,
  entries: readonly SeenEntry[],
): readonly Finding[] {
  const findings: Finding[] = [];
  const find = (promise: PromiseName, what: string) => void findings.push({ promise, subject: orderId, what });
  if (order === null) {
    const named = entries.map(({ partner, state, key }) => `${partner} ${state} ${key}`);
    find('ledger: unknown', `the partners have ${named.slice(0, 3).join(', ')} for an order that does not exist`);
    return findings;
  }
  judgeMails(entries, find);
  for (const { name, partner, verb } of sides) {
    const own = entries.filter((entry) => entry.partner === partner);
    const ever = own.filter(({ reference }) => reference !== null);
    const held = own.filter(({ state }) => live.includes(state));
    const references = (among: readonly SeenEntry[]) => among.map(({ reference }) => reference).join(', ');
    if (ever.length > 1) find('ledger: once', `it was ${verb} ${ever.length} times: ${references(ever)}`);
    if (order.status === 'PROCESSED') {
      if (held.length !== 1)
        find('ledger: processed', `it is PROCESSED, and ${verb} ${held.length} times at ${partner}`);
      for (const entry of held) judgeTerms(order, entry, find);
    }
    if (isUndone && held.length > 0) {
      find('ledger: canceled', `it is canceled and was undone, and ${references(held)} is still ${verb} at ${partner}`);
    }
    judgeEffect(order, name, isUndone, own, find);
  }
  return findings;
}

type Find = (promise: PromiseName, what: string) => void;

function judgeTerms(order: SeenOrder, { partner, amount, currency, reference }: SeenEntry, find: Find): void {
  if (partner !== 'payments' || (amount === order.amount && currency === order.currency)) return;
  const held = `${reference} holds ${amount} ${currency}`;
  find('ledger: processed', `${held}, and the order is of ${order.amount} ${order.currency}`);
}

function judgeEffect(
  order: SeenOrder,
  name: 'authorization' | 'booking',
  isUndone: boolean,
  own: readonly SeenEntry[],
  find: Find,
): void {
  const effect = order.effects[name];
  if (effect === undefined) {
    const early = own.find(({ state }) => live.includes(state));
    if (early !== undefined) find('ledger: effects', `it has no ${name}, and ${early.reference} is ${early.state}`);
    return;
  }
  const entry = own.find(({ key }) => key === keyOfEffect(order.id, { name, generation: effect.generation }));
  const isLive = entry !== undefined && live.includes(entry.state);
  const there = entry === undefined ? 'not there' : `${entry.state} ${entry.reference ?? ''}`.trim();
  if (effect.state === 'done' && (order.status !== 'CANCELED' || isUndone)) {
    if (!isLive) find('ledger: effects', `its ${name} ${effect.reference} is done, and at its partner ${there}`);
    else if (entry.reference !== effect.reference) {
      find('ledger: effects', `its ${name} is recorded as ${effect.reference}, and its partner has ${entry.reference}`);
    }
  }
  // A new generation is only begun where nothing was done under the former one.
  for (let generation = 0; generation <= effect.generation; generation += 1) {
    const isCurrent = generation === effect.generation;
    if (isCurrent && !['none', 'undone', 'declined'].includes(effect.state)) continue;
    const key = keyOfEffect(order.id, { name, generation });
    const left = own.find((one) => one.key === key && live.includes(one.state));
    if (left === undefined) continue;
    const recorded = isCurrent ? effect.state : 'without effect';
    find('ledger: effects', `its ${name} ${key} is recorded as ${recorded}, and its partner has ${left.reference}`);
  }
}

function judgeMails(entries: readonly SeenEntry[], find: Find): void {
  const kinds = entries.filter(({ partner }) => partner === 'mail').map(({ kind }) => String(kind));
  for (const kind of new Set(kinds.filter((one, index) => kinds.indexOf(one) !== index))) {
    find('ledger: mail', `${kinds.filter((one) => one === kind).length} messages of the kind "${kind}" were sent`);
  }
}
