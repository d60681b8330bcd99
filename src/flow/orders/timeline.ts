// Where is my order, on one page: what happened, how long each attempt took, and what is waited for now.
//
// Promises: pure; oldest first, facts as they were committed, with what is still owed at the end, as of now; a
// sentence beside each code. Those who only keep books or documents tell of their dead letters alone: they are not on
// an order's way.
// Relies on the rows of one moment.

import { subscriptions, typesOf } from '../subscriptions.ts';
import { attemptSentence, sentenceFor, type TimelineEntry, type TimelineRow } from './sentences.ts';

export const onTheWay = subscriptions.flatMap((row) => typesOf(row).map((type) => ({ consumer: row.consumer, type })));
const knownTypes = new Map(subscriptions.map((row) => [row.consumer as string, typesOf(row)]));
const dependenciesOf = new Map(subscriptions.map((row) => [row.consumer as string, row.dependencies]));

// A delivery has no time of its own where it is not over: it stands as of now.
export type SeenRow = TimelineRow & {
  readonly at: Date | null;
  // Which of several of one moment comes first; of a fact its version.
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
  const past = inOrder(rows.filter(isPast)).map(toEntry);
  const asOf = new Date(past.reduce((latestMs, { at }) => Math.max(latestMs, at.getTime()), now.getTime()));
  const owed = rows.filter((row) => !isPast(row)).map((row) => toOwed(row, rows, asOf));
  return [...past, ...owed];
}

type PastRow = SeenRow & { readonly at: Date };
const isPast = (row: SeenRow): row is PastRow => row.at !== null;

// Each fact was timed by the clock of its writer, and clocks are apart: a fact stands no earlier than the one
// before it.
function inOrder(rows: readonly PastRow[]): PastRow[] {
  const standsAtMs = new Map<PastRow, number>();
  let latestMs = Number.NEGATIVE_INFINITY;
  const facts = rows.filter(({ kind }) => kind === 'fact');
  for (const fact of facts.toSorted((one, other) => one.position - other.position)) {
    latestMs = Math.max(latestMs, fact.at.getTime());
    standsAtMs.set(fact, latestMs);
  }
  const timeOf = (row: PastRow) => standsAtMs.get(row) ?? row.at.getTime();
  return rows.toSorted((one, other) => timeOf(one) - timeOf(other) || one.position - other.position);
}

function toEntry(row: PastRow): TimelineEntry {
  const dueInMs = row.kind === 'attempt' ? row.detail.dueInMs : null;
  const isOpen = row.kind === 'letter' && row.detail.isOpen === true;
  return {
    ...shared(row),
    at: row.at,
    // What was left out is no attempt.
    attempt: row.outcome === 'skipped' ? null : row.attempt,
    text: row.kind === 'delivery' ? attemptSentence(row) : sentenceFor(row),
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
  const partners = (dependenciesOf.get(consumer ?? '') ?? []).join(' and ') || 'the database';
  const time = until?.toISOString() ?? '';
  const after = lastCode === null ? '' : ` after ${lastCode}`;
  if (type === 'unclaimed') {
    return {
      waitsFor: 'worker',
      text: `The consumer ${consumer} has not taken ${detail.factType} yet: it waits for a worker.`,
    };
  }
  if (type === 'running' && detail.isDue !== true) {
    const text = `Attempt ${attempt} of ${consumer} is under way: it waits for ${partners}, and its worker answers for it until ${time}.`;
    return { waitsFor: 'answer', text };
  }
  if (detail.isDue === true)
    return { waitsFor: 'worker', text: `The consumer ${consumer} is due${after}: it waits for a worker.` };
  if (knownTypes.get(consumer ?? '')?.includes(String(detail.factType)) === false) {
    const text = `The consumer ${consumer} waits for a release that knows ${detail.factType}; it looks again at ${time}.`;
    return { waitsFor: 'release', text };
  }
  if (detail.isUncharged === true) {
    return {
      waitsFor: 'partner',
      text: `The consumer ${consumer} waits for ${partners}${after}, uncharged; it looks again at ${time}.`,
    };
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
