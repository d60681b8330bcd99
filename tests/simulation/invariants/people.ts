// What people asked for: cancels and reprocesses, against the audit log and the order.

import type { Act, OrderEvidence } from '../evidence.ts';
import { type Invariant, nameOfType, ofAll, ofOrder } from './law.ts';

const actOfAction: Readonly<Record<string, string>> = {
  canceled: 'cancel',
  reprocessed: 'reprocess',
  'letter-reprocessed': 'reprocess-dead-letter',
};
// The others would mean that an open dead letter and the order's status contradict each other.
const refusalsOf: Readonly<Record<string, readonly string[]>> = {
  cancel: ['order-not-found', 'order-already-processed'],
  reprocess: ['no-dead-letter'],
  'reprocess-dead-letter': ['no-dead-letter', 'earlier-letter-open'],
};

// Commits that sent dead letters back.
function sendsOf({ deadLetterMoves }: OrderEvidence): number {
  const sent = deadLetterMoves.filter(
    ({ before, after }) => before?.closed_at === null && after?.closed_how === 'reprocessed',
  );
  return new Set(sent.map(({ sequence }) => sequence)).size;
}

// From the moment at which somebody asked until they had their answer; so it had an open dead letter.
function wasFailed(order: OrderEvidence | undefined, { atMs, answeredMs = atMs }: Act): boolean {
  const moves = order?.moves ?? [];
  const before = moves.findLast((move) => move.atMs <= atMs);
  const isStill = moves.every((move) => move.atMs <= atMs || move.atMs > answeredMs);
  return before?.after?.status === 'FAILED' && isStill;
}

export const people: readonly Invariant[] = [
  ofOrder('history', 'an act has one row in the audit log, and a row has its act', (order, say, { actOf }) => {
    const seen = new Set<string>();
    for (const { action, order_id, correlation_id } of order.audits) {
      const act = actOf.get(correlation_id);
      if (act === undefined || actOfAction[action] !== act.act) {
        say(`has ${action} in its log, which nobody asked for`);
        continue;
      }
      if (seen.has(correlation_id)) say(`has one request to ${act.act} in its log twice`);
      seen.add(correlation_id);
      if (act.act !== 'reprocess-dead-letter' && act.orderId !== order_id)
        say(`has ${action} of another order in its log`);
      if (act.answer?.answer === 'refused') say(`was changed by an act that was refused as ${act.answer.code}`);
      if (act.answer?.answer === 'unavailable' && act.answer.stored === 'nothing') {
        say('was changed by an act whose author was told that nothing is stored');
      }
    }
  }),

  ofOrder('history', 'what only a person may do was done by one', (order, say) => {
    const acted = (actions: readonly string[]) => order.audits.filter(({ action }) => actions.includes(action)).length;
    const reprocesses = acted(['reprocessed', 'letter-reprocessed']);
    const canceled = order.events.filter(
      (event) => nameOfType(event.type) === 'OrderCanceled' && event.data.reason === 'canceled-by-request',
    );
    if (canceled.length !== acted(['canceled'])) say(`was canceled by request ${canceled.length} times`);
    const sentBack = sendsOf(order);
    if (sentBack !== reprocesses) say(`was sent back ${sentBack} times, and asked for ${reprocesses} times`);
    const begunAnew = order.events.filter((event) => nameOfType(event.type) === 'OrderReprocessed').length;
    if (begunAnew > reprocesses) say(`began anew ${begunAnew} times, and was asked to ${reprocesses} times`);
  }),

  ofAll('end', 'an act is answered with what is true', ({ acts, orders }, say) => {
    const audited = new Set([...orders.values()].flatMap((order) => order.audits.map((row) => row.correlation_id)));
    for (const one of acts) {
      const { act, answer, orderId, deadLetterId, correlationId } = one;
      const status = orders.get(orderId ?? '')?.row?.status;
      if (answer?.answer === 'refused') {
        const { code } = answer;
        if (refusalsOf[act]?.includes(code) !== true) say(`${act} was refused as ${code}`, orderId);
        if (code === 'order-not-found' && status !== undefined)
          say(`${act} did not find an order that exists`, orderId);
        if (code === 'order-already-processed' && status !== 'PROCESSED')
          say(`a cancel came too late while ${status}`, orderId);
        if (code === 'no-dead-letter' && act === 'reprocess' && wasFailed(orders.get(orderId ?? ''), one))
          say('was not sent back, and was FAILED all the time', orderId);
        const deadLetter = orders.get(orderId ?? '')?.deadLetters.get(deadLetterId ?? '');
        const ofOrder = [...(orders.get(orderId ?? '')?.deadLetters.values() ?? [])];
        const comesLater = ofOrder.some(
          ({ consumer, version }) => consumer === deadLetter?.consumer && version < deadLetter.version,
        );
        if (code === 'earlier-letter-open' && !comesLater)
          say(`the dead letter ${deadLetterId} was to wait for an earlier one, and there was none`, orderId);
        if (code === 'no-dead-letter' && deadLetter?.closed_at === null)
          say(`the dead letter ${deadLetterId} was not found, and is open`, orderId);
      }
      if (answer?.answer !== 'done') continue;
      if (act === 'cancel') {
        if (answer.order?.status !== 'CANCELED' || status !== 'CANCELED') say(`was canceled and is ${status}`, orderId);
      } else if (!audited.has(correlationId)) say(`${act} was answered as done and left no trace`, orderId);
    }
  }),
];
