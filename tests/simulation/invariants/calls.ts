// Which call, which attempt and which job belong together: what the oracles of work, of breakers and of money ask.
//
// Relies on the token of a claim being made before the claim is sent, and on the recorder keeping when that was.

import type { Call, Evidence, Moved, OrderEvidence } from '../evidence.ts';
import type { DeadLetterRow, JobRow } from '../rows.ts';

export type JobMove = Moved<JobRow>;

export const jobOf = ({ before, after }: JobMove): JobRow => (after ?? before) as JobRow;
export const isClaim = ({ label }: JobMove): boolean => label === 'claim-jobs';
// A claim may end a job too, where nobody needs it any more.
export const isSettle = ({ transaction, label }: JobMove): boolean =>
  transaction === 'lock-orders' && (label === 'delete-jobs' || label === 'pause-jobs');
export const isTakeover = (move: JobMove): boolean => isClaim(move) && (move.before?.token ?? null) !== null;

// The event that a job is about, by the job's own key.
export const eventOf = (order: OrderEvidence, { version }: Pick<JobRow, 'version'>) =>
  order.events.find((event) => event.version === version);

// The dead letter that was written together with the end of a job.
export const deadLetterWith = (order: OrderEvidence, move: JobMove): DeadLetterRow | undefined =>
  order.deadLetterMoves.find(
    ({ before, after, sequence }) =>
      before === null &&
      sequence === move.sequence &&
      after?.consumer === jobOf(move).consumer &&
      after.version === jobOf(move).version,
  )?.after ?? undefined;

// The settle that wrote the attempt.
export function endOf(order: OrderEvidence, index: number): JobMove | undefined {
  const [attempt, written] = [order.attempts[index], order.attemptSequences[index]];
  return order.jobMoves.find(
    (move) =>
      isSettle(move) &&
      move.sequence === written &&
      jobOf(move).consumer === attempt?.consumer &&
      eventOf(order, jobOf(move))?.id === attempt.event_id,
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
