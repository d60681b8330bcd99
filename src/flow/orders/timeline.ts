// Where is my order, on one page: what happened, how long each attempt took, and what is waited for now.
//
// Promises: pure; oldest first, events as they were committed, with what is still owed at the end, as of now; a
// sentence beside each code. Successful attempts of those who only keep analytics or documents are left out: they are
// not on an order's way.
// Relies on the rows of one moment.

import type { EventType } from '../../domain/events.ts';
import { subscriptions, typesOf } from '../subscriptions.ts';
import { attemptSentence, sentenceFor, type TimelineEntry, type TimelineRow } from './sentences.ts';

const knownTypes = new Map(subscriptions.map((row) => [row.consumer as string, typesOf(row)]));
const dependenciesOf = new Map(subscriptions.map((row) => [row.consumer as string, row.dependencies as string[]]));

// Whose attempt writes an event first; of the other events the writer is told by their own data, or nobody attempted.
const writerOf: { readonly [T in EventType]?: string } = {
  PaymentAuthorizedV1: 'payment',
  PaymentFailedV1: 'payment',
  FulfillmentScheduledV1: 'fulfillment',
  FulfillmentRejectedV1: 'fulfillment',
  FulfillmentCanceledV1: 'compensation',
  PaymentVoidedV1: 'compensation',
};

// A job has no time of its own: it stands as of now.
export type SeenRow = TimelineRow & {
  readonly at: Date | null;
  // Which of several of one moment comes first; of an event its version.
  readonly position: number;
  readonly eventId: string | null;
  readonly correlationId: string | null;
  readonly causationId: string | null;
  readonly traceparent: string | null;
  readonly durationMs: number | null;
  // End of the lease, or time of the next try.
  readonly until: Date | null;
};

export function toTimeline(rows: readonly SeenRow[], now: Date): TimelineEntry[] {
  const past = inOrder(rows.filter(isPast)).flatMap((row) => [...attemptBehind(row), toEntry(row)]);
  const asOf = new Date(past.reduce((latestMs, { at }) => Math.max(latestMs, at.getTime()), now.getTime()));
  const owed = rows.filter((row) => !isPast(row)).map((row) => toOwed(row, rows, asOf));
  return [...past, ...owed];
}

type PastRow = SeenRow & { readonly at: Date };
const isPast = (row: SeenRow): row is PastRow => row.at !== null;

// Each event was timed by the clock of its writer, and clocks are apart: an event stands no earlier than the one
// before it.
function inOrder(rows: readonly PastRow[]): PastRow[] {
  const standsAtMs = new Map<PastRow, number>();
  let latestMs = Number.NEGATIVE_INFINITY;
  const events = rows.filter(({ kind }) => kind === 'event');
  for (const event of events.toSorted((one, other) => one.position - other.position)) {
    latestMs = Math.max(latestMs, event.at.getTime());
    standsAtMs.set(event, latestMs);
  }
  const timeOf = (row: PastRow) => standsAtMs.get(row) ?? row.at.getTime();
  return rows.toSorted((one, other) => timeOf(one) - timeOf(other) || one.position - other.position);
}

// The attempt that wrote an event succeeded; the event it handled is the cause.
function attemptBehind(row: PastRow): TimelineEntry[] {
  const consumer = row.kind === 'event' ? writerOf[row.type as EventType] : undefined;
  if (consumer === undefined || row.attempt === null) return [];
  const attempt = { ...row, kind: 'attempt' as const, type: 'done', outcome: 'done', consumer, detail: {} };
  const entry = { ...shared({ ...attempt, eventId: row.causationId, causationId: null }), at: row.at };
  return [{ ...entry, text: attemptSentence(attempt), until: null, waitsFor: null }];
}

function toEntry(row: PastRow): TimelineEntry {
  const dueInMs = row.kind === 'attempt' ? row.detail.dueInMs : null;
  const isOpen = row.kind === 'dead letter' && row.detail.isOpen === true;
  return {
    ...shared(row),
    at: row.at,
    // What was left out is no attempt; an event tells of its own before it.
    attempt: row.outcome === 'skipped' || row.kind === 'event' ? null : row.attempt,
    durationMs: row.kind === 'event' ? null : row.durationMs,
    text: row.outcome === 'done' ? attemptSentence(row) : sentenceFor(row),
    until: typeof dueInMs === 'number' ? new Date(row.at.getTime() + dueInMs) : null,
    waitsFor: isOpen ? 'person' : null,
  };
}

function toOwed(row: SeenRow, rows: readonly SeenRow[], at: Date): TimelineEntry {
  const failed = rows.findLast(
    (one) => one.kind === 'attempt' && one.consumer === row.consumer && one.eventId === row.eventId,
  );
  const { waitsFor, text } = waitOf(row, failed?.code ?? null);
  return { ...shared(row), at, code: failed?.code ?? null, text, until: row.until, waitsFor };
}

type Wait = { readonly waitsFor: NonNullable<TimelineEntry['waitsFor']>; readonly text: string };

function waitOf({ type, consumer, attempt, detail, until }: SeenRow, lastCode: string | null): Wait {
  const dependencies = dependenciesOf.get(consumer ?? '') ?? [];
  const partners = dependencies.join(' and ') || 'the database';
  const time = until?.toISOString() ?? '';
  const after = lastCode === null ? '' : ` after ${lastCode}`;
  if (type === 'running' && detail.isDue !== true) {
    const text = `Attempt ${attempt} of ${consumer} is under way: it waits for ${partners}, and its worker answers for it until ${time}.`;
    return { waitsFor: 'answer', text };
  }
  if (knownTypes.get(consumer ?? '')?.includes(String(detail.eventType)) === false) {
    const text = `The consumer ${consumer} waits for a release that knows ${detail.eventType}.`;
    return { waitsFor: 'release', text };
  }
  const down = dependencies.filter((name) => Array.isArray(detail.isDown) && detail.isDown.includes(name));
  if (down.length > 0 || detail.isUncharged === true) {
    const again = detail.isDue === true ? 'it goes on when it is back' : `it looks again at ${time}`;
    const text = `The consumer ${consumer} waits for ${down.join(' and ') || partners}${after}, uncharged; ${again}.`;
    return { waitsFor: 'partner', text };
  }
  if (detail.isDue === true) {
    const what = type === 'unclaimed' ? `has not taken ${detail.eventType} yet` : `is due${after}`;
    return { waitsFor: 'worker', text: `The consumer ${consumer} ${what}: it waits for a worker.` };
  }
  return { waitsFor: 'next-try', text: `The consumer ${consumer} waits${after} for its next attempt at ${time}.` };
}

function shared({ type, consumer, attempt, outcome, code, eventId, correlationId, causationId, ...row }: SeenRow) {
  // W3C Trace Context: version, trace, parent, flags.
  const traceId = row.traceparent?.split('-')[1] ?? null;
  return {
    type,
    consumer,
    attempt,
    outcome,
    code,
    eventId,
    correlationId,
    causationId,
    durationMs: row.durationMs,
    traceId,
  };
}
