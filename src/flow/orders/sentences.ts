// The readable half of the timeline: one sentence for each thing that can be on it.
//
// Promises: a sentence for every type; nothing in it that its codes do not say.

import type { EventType } from '../../domain/events.ts';

export type TimelineEntry = {
  readonly at: Date;
  readonly type: string;
  readonly consumer: string | null;
  readonly attempt: number | null;
  readonly outcome: string | null;
  readonly code: string | null;
  readonly text: string;
  readonly eventId: string | null;
  readonly correlationId: string | null;
  readonly causationId: string | null;
  // How long the attempt took; null where none is meant, or nobody knows.
  readonly durationMs: number | null;
  // Time of the next try, or end of the lease.
  readonly until: Date | null;
  readonly waitsFor: 'answer' | 'next-try' | 'partner' | 'release' | 'worker' | 'person' | null;
  readonly traceId: string | null;
};

export type TimelineRow = {
  // `job` = what is still to be done.
  readonly kind: 'event' | 'attempt' | 'dead letter' | 'audit' | 'job';
  readonly type: string;
  readonly consumer: string | null;
  readonly attempt: number | null;
  readonly outcome: string | null;
  readonly code: string | null;
  readonly detail: Readonly<Record<string, unknown>>;
};

const events: Readonly<Record<EventType, (detail: TimelineRow['detail']) => string>> = {
  OrderCreatedV1: () => 'The order was placed.',
  OrderCanceledV1: (detail) => `The order was canceled (${detail.reason}).`,
  OrderFailedV1: (detail) => `The order failed: ${detail.consumer} gave up (${detail.reason}).`,
  OrderReprocessedV1: () => 'The order was sent back to work.',
  PaymentAuthorizedV1: (detail) => `The payment was authorized (${detail.authorizationId}).`,
  PaymentFailedV1: (detail) => `The payment was declined (${detail.declineCode}).`,
  PaymentVoidedV1: (detail) => `The authorization was voided: nothing is held any more (${detail.authorizationId}).`,
  FulfillmentScheduledV1: (detail) => `The shipment was booked (${detail.bookingId}).`,
  FulfillmentRejectedV1: (detail) => `The carrier rejected the shipment (${detail.rejectCode}).`,
  FulfillmentCanceledV1: (detail) => `The shipment was recalled (${detail.bookingId}).`,
};

export function sentenceFor(row: TimelineRow): string {
  const { consumer, attempt, code, detail } = row;
  switch (row.kind) {
    case 'event':
      return events[row.type as EventType]?.(detail) ?? `${row.type} happened.`;
    case 'dead letter':
      if (row.outcome !== 'parked') return `The dead letter of ${consumer} was closed: ${row.outcome}.`;
      return `The consumer ${consumer} gave up and waits for a person: ${causeOf(detail)} (${code}).`;
    case 'audit':
      return auditSentence(row.type, detail);
    default:
      if (row.outcome === 'skipped') return `The consumer ${consumer} did nothing: ${causeOf(detail)} (${code}).`;
      return failureSentence(row.outcome, `Attempt ${attempt} of ${consumer}`, detail, code);
  }
}

export function attemptSentence({ attempt, consumer }: TimelineRow): string {
  const done = `Attempt ${attempt} of ${consumer} succeeded`;
  // Whether it reaches anybody, nobody here knows; an order without an address is told of by its user id.
  return consumer === 'notification' ? `${done}: the mail partner took the message.` : `${done}.`;
}

function failureSentence(
  outcome: string | null,
  subject: string,
  detail: TimelineRow['detail'],
  code: string | null,
): string {
  if (outcome === 'takeover') return `${subject} was taken over: ${causeOf(detail)}.`;
  const failed = `${subject} failed: ${causeOf(detail)} (${code})`;
  if (outcome === 'retry') return `${failed}; the next one follows in ${detail.dueInMs} ms.`;
  if (outcome === 'wait') return `${failed}; it is not charged and goes on in ${detail.dueInMs} ms.`;
  return `${failed}; it was the last.`;
}

// A partner's message may be a sentence of its own; here it becomes a part of one.
function causeOf(detail: TimelineRow['detail']): string {
  return String(detail.message).replace(/\.$/, '');
}

function auditSentence(action: string, detail: TimelineRow['detail']): string {
  if (action === 'letter-discarded') return `A dead letter was discarded: ${String(detail.reason).replace(/\.$/, '')}.`;
  if (action === 'paused') return `A person paused the order: ${String(detail.reason).replace(/\.$/, '')}.`;
  if (action === 'resumed') return 'A person resumed the order.';
  if (action === 'letter-corrected')
    return 'The address was corrected, and a reprocess of its dead letter was requested.';
  if (action === 'canceled') return 'A cancel was requested.';
  return action === 'reprocessed'
    ? 'A reprocess of the order was requested.'
    : 'A reprocess of one dead letter was requested.';
}
