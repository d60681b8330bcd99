// What must have happened somewhere in a set of seeds: a net that never met these has proved nothing.
//
// Each counter has a sentence and says how it is recognized, from the outside alone. `isRare` ones are
// counted and shown, and no set of seeds fails for want of them.

import type { Evidence, OrderEvidence } from './evidence.ts';
import { nameOfType } from './invariants/law.ts';
import { breaking } from './sometimes/breaking.ts';
import { ofCommits, rare, type Sometimes } from './sometimes/counter.ts';
import { outside } from './sometimes/outside.ts';
import { working } from './sometimes/working.ts';

export type { Sometimes } from './sometimes/counter.ts';

// Every cell of the order's table that leads anywhere; PENDING × OrderFailed is none, for whoever gives up
// has claimed, and so made it PROCESSING, before.
const transitions = [
  ...['PENDING OrderCanceled', 'PROCESSING OrderCanceled', 'FAILED OrderCanceled'],
  ...['PROCESSING PaymentAuthorized', 'PROCESSING PaymentFailed', 'PROCESSING FulfillmentScheduled'],
  ...['PROCESSING FulfillmentRejected', 'PROCESSING OrderFailed', 'FAILED OrderReprocessed'],
  ...['CANCELED PaymentAuthorized', 'CANCELED PaymentFailed', 'CANCELED PaymentVoided'],
  ...['CANCELED FulfillmentScheduled', 'CANCELED FulfillmentRejected', 'CANCELED FulfillmentCanceled'],
];

// For the carrier's no to come between the cancel and its undo takes a coincidence; a story of stories.ts has it.
const coincidence = 'CANCELED FulfillmentRejected';

// The status before each event: that of the row before its commit, which no event but the last of a commit changes.
function transitionsOf(order: OrderEvidence): string[] {
  return order.events.flatMap((event, index) => {
    const sequence = order.eventSequences[index];
    const move = order.moves.find((one) => one.sequence === sequence);
    const before = move?.before?.status;
    return before === undefined ? [] : [`${before} ${nameOfType(event.type)}`];
  });
}

const refusals = [...['order-not-found', 'order-already-processed', 'no-dead-letter', 'idempotency-key-reused']];
const refusalsOf = ({ placements, acts }: Evidence) =>
  [...placements, ...acts].map(({ answer }) => (answer?.answer === 'refused' ? answer.code : ''));

export const sometimes: readonly Sometimes[] = [
  ...working,
  ...outside,
  ...breaking,
  ...transitions.map((transition): Sometimes => {
    const [status = '', event = ''] = transition.split(' ');
    const counter = ofCommits(
      `transition ${transition}`,
      `An order that is ${status} gets the event ${event}.`,
      (order) => transitionsOf(order).filter((one) => one === transition).length,
    );
    return transition === coincidence ? rare(counter) : counter;
  }),
  ...refusals.map(
    (code): Sometimes => ({
      name: `refused ${code}`,
      sentence: `Somebody is refused as ${code}.`,
      count: (evidence) => refusalsOf(evidence).filter((one) => one === code).length,
    }),
  ),
];

export type Tally = Map<string, number>;
// Adds what one run has seen; a run set is as good as its smallest count.
export function tally(seen: Tally, evidence: Evidence): void {
  for (const { name, count } of sometimes) seen.set(name, (seen.get(name) ?? 0) + count(evidence));
}

// What never happened although it must.
export function missingOf(seen: ReadonlyMap<string, number>): readonly Sometimes[] {
  return sometimes.filter(({ name, isRare }) => isRare !== true && (seen.get(name) ?? 0) === 0);
}
