// What must never be broken, as one list. Each is judged by what stands outside the system alone: see
// evidence.ts. A new promise of docs/guarantees.md that a simulation can see gets a line in one of these.
//
// `checkOrder` belongs after every commit that touched the order, `checkAll` at the end of a run, after
// the faults are over.

import type { Evidence } from './evidence.ts';
import { analytics } from './invariants/analytics.ts';
import { breakers } from './invariants/breakers.ts';
import { events } from './invariants/events.ts';
import { jobs } from './invariants/jobs.ts';
import type { Invariant, Violation } from './invariants/law.ts';
import { money } from './invariants/money.ts';
import { people } from './invariants/people.ts';
import { placing } from './invariants/placing.ts';
import { quiet } from './invariants/quiet.ts';
import { reading } from './invariants/reading.ts';
import { state } from './invariants/state.ts';
import { work } from './invariants/work.ts';

export type { Invariant, Violation } from './invariants/law.ts';

export const invariants: readonly Invariant[] = [
  ...placing,
  ...money,
  ...state,
  ...jobs,
  ...work,
  ...breakers,
  ...events,
  ...people,
  ...reading,
  ...analytics,
  ...quiet,
];
const always = invariants.filter((invariant) => invariant.when === 'always');
const atAnyTime = invariants.filter((invariant) => invariant.when !== 'end');

// What must hold of one order as it stands now.
export function checkOrder(evidence: Evidence, orderId: string): readonly Violation[] {
  return always.flatMap((invariant) => invariant.check(evidence, orderId));
}

// What must hold at any moment of everything: for a run that ends before it is quiet.
export function checkSafety(evidence: Evidence): readonly Violation[] {
  return atAnyTime.flatMap((invariant) => invariant.check(evidence));
}

// Everything, at the quiet end.
export function checkAll(evidence: Evidence): readonly Violation[] {
  return invariants.flatMap((invariant) => invariant.check(evidence));
}
