// A counter of something that must have happened: how often one run has seen it.

import type { Evidence, Noted, OrderEvidence } from '../evidence.ts';

export type Sometimes = {
  readonly name: string;
  readonly sentence: string;
  readonly count: (evidence: Evidence) => number;
  // Shown, and not asked for: it takes a coincidence that no set of seeds can be sure of.
  readonly isRare?: boolean;
};

// The sum over the orders.
export function ofCommits(
  name: string,
  sentence: string,
  countIn: (order: OrderEvidence, evidence: Evidence) => number,
): Sometimes {
  const count = (evidence: Evidence) => {
    let sum = 0;
    for (const order of evidence.orders.values()) sum += countIn(order, evidence);
    return sum;
  };
  return { name, sentence, count };
}

export function ofNotes(name: string, sentence: string, is: (note: Noted, evidence: Evidence) => boolean): Sometimes {
  return { name, sentence, count: (evidence) => evidence.noted.filter((note) => is(note, evidence)).length };
}

export function rare(sometimes: Sometimes): Sometimes {
  return { ...sometimes, isRare: true };
}
