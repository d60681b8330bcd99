// What an invariant is, and the two ways to state one: about one order, or about the whole run.
//
// `always`: of the state as committed, so it must be asked after each commit that touches the order.
// `history`: true at any moment, but a late look sees as much as an early one. `end`: only after the
// faults are over and everything has had its time.

import type { Evidence, OrderEvidence } from '../evidence.ts';

// `orderId` is null where it is about no order in particular.
export type Violation = { readonly invariant: string; readonly orderId: string | null; readonly sentence: string };
export type Invariant = {
  readonly name: string;
  readonly when: 'always' | 'history' | 'end';
  // With an order's id only that order is looked at; an invariant of the whole run is silent then.
  readonly check: (evidence: Evidence, orderId?: string) => readonly Violation[];
};
export type When = Invariant['when'];

export function ofOrder(
  when: When,
  name: string,
  look: (order: OrderEvidence, say: (sentence: string) => void, evidence: Evidence) => void,
): Invariant {
  const check = (evidence: Evidence, orderId?: string) => {
    const violations: Violation[] = [];
    const lookAt = (order: OrderEvidence) =>
      look(order, (sentence) => violations.push({ invariant: name, orderId: order.id, sentence }), evidence);
    if (orderId === undefined) {
      for (const order of evidence.orders.values()) lookAt(order);
      return violations;
    }
    const order = evidence.orders.get(orderId);
    if (order !== undefined) lookAt(order);
    return violations;
  };
  return { name, when, check };
}

export function ofAll(
  when: When,
  name: string,
  look: (evidence: Evidence, say: (sentence: string, orderId?: string | null) => void) => void,
): Invariant {
  const check = (evidence: Evidence, orderId?: string) => {
    const violations: Violation[] = [];
    const say = (sentence: string, about: string | null = null) =>
      violations.push({ invariant: name, orderId: about, sentence });
    if (orderId === undefined) look(evidence, say);
    return violations;
  };
  return { name, when, check };
}

// The consumers whose dead letters make an order FAILED.
export const coreConsumers: ReadonlySet<string> = new Set(['payment', 'fulfillment']);
// An event's type without its version.
export const nameOfType = (type: string) => type.replace(/V\d+$/, '');
