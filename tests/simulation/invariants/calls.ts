// Which call belongs to which work: what the oracles of attempts and of breakers both ask.
//
// Relies on the token of a claim being made before the claim is sent, and on the recorder keeping when that was.

import type { Call, Evidence, Moved, OrderEvidence } from '../evidence.ts';
import type { DeliveryRow } from '../rows.ts';

// The settle that wrote the attempt.
export function endOf(order: OrderEvidence, index: number): Moved<DeliveryRow> | undefined {
  const [attempt, written] = [order.attempts[index], order.attemptSequences[index]];
  return order.deliveryMoves.find(
    ({ label, after, sequence }) =>
      label === 'end-deliveries' &&
      sequence === written &&
      after?.event_id === attempt?.event_id &&
      after?.consumer === attempt?.consumer,
  );
}

// What a process has called for a consumer since this token was made: the calls of its claim, and those of
// another run of the same work in the same process, if there was one.
export function callsOf(
  order: OrderEvidence,
  consumer: string,
  process: string,
  token: string | null,
  // When its attempt ended.
  atMs: number,
  { tokens }: Evidence,
): readonly Call[] {
  const sinceMs = tokens.get(token ?? '')?.monotonicMs ?? 0;
  const isIts = (call: Call) =>
    call.process === process &&
    consumersOf[call.call] === consumer &&
    call.monotonicMs >= sinceMs &&
    call.atMs <= atMs &&
    call.trouble !== undefined;
  return order.calls.filter(isIts);
}

export const consumersOf: Readonly<Record<Call['call'], string>> = {
  authorize: 'payment',
  lookup: '',
  book: 'fulfillment',
  void: 'compensation',
  recall: 'compensation',
  send: 'notification',
  // One call carries the documents of many.
  index: '',
};
