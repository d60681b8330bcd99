// How far a reader of the event log is: the highest position it has read, and the gaps below it.
//
// Positions are given out before the commit, so a lower one may appear after a higher one. A gap is a position that
// is not handled yet: its transaction is still open, or was rolled back, or its event is to be handled again.
// Promises: a gap is forgotten only when no transaction that could own it is left. That needs the id of a transaction
// that began after the read that found the gap, and a later read, not cut by its limit, with nothing older running.
// Pure. What is known of a gap's age is in memory alone: after a crash it is found anew.

import type { CursorState, Snapshot, Span } from './event-log.ts';

export type GapMemory = {
  // The cursor after a read of which the events up to `passed` are handled: all of them, or the first few.
  // `isComplete` = the read was not cut by its limit, and everything it showed is handled.
  readonly advance: (at: CursorState, snapshot: Snapshot, passed: number, isComplete: boolean) => CursorState;
  // Some gaps have no id yet.
  readonly hasUnstamped: () => boolean;
  // The id of a transaction that began after the last `advance`.
  readonly stamp: (xact: bigint) => void;
};

export function createGapMemory(): GapMemory {
  // Younger than any transaction that can own one of these gaps, and the gaps.
  let stamped: { readonly xact: bigint; readonly gaps: readonly Span[] }[] = [];
  let unstamped: readonly Span[] = [];

  return {
    advance: (at, snapshot, passed, isComplete) => {
      const positions = snapshot.events.slice(0, passed).map((one) => one.position);
      const next = pass(at, positions);
      const ended = isComplete ? stamped.filter(({ xact }) => xact <= snapshot.xmin) : [];
      const gaps = ended.reduce((left, one) => without(left, one.gaps), next.gaps);
      stamped = stamped
        .filter((one) => !ended.includes(one))
        .map(({ xact, gaps: marked }) => ({ xact, gaps: within(marked, gaps) }))
        .filter((one) => one.gaps.length > 0);
      unstamped = stamped.reduce((left, one) => without(left, one.gaps), gaps);
      return { readTo: next.readTo, gaps };
    },
    hasUnstamped: () => unstamped.length > 0,
    stamp: (xact) => {
      if (unstamped.length > 0) stamped.push({ xact, gaps: unstamped });
      unstamped = [];
    },
  };
}

// These positions, in rising order, are handled: what lies between them above `readTo` becomes gaps.
export function pass(at: CursorState, positions: readonly number[]): CursorState {
  let { readTo } = at;
  const found: Span[] = [];
  for (const position of positions) {
    if (position <= readTo) continue;
    if (position > readTo + 1) found.push({ from: readTo + 1, to: position - 1 });
    readTo = position;
  }
  const handled = positions.map((position) => ({ from: position, to: position }));
  return { readTo, gaps: joined([...without(at.gaps, handled), ...found]) };
}

// Spans that touch become one, as the database writes them.
function joined(spans: readonly Span[]): Span[] {
  const apart: Span[] = [];
  for (const span of spans) {
    const last = apart.at(-1);
    if (last !== undefined && last.to + 1 === span.from) apart[apart.length - 1] = { from: last.from, to: span.to };
    else apart.push(span);
  }
  return apart;
}

// Spans are sorted and apart from each other, here and in what comes out.
export function without(spans: readonly Span[], minus: readonly Span[]): Span[] {
  const left: Span[] = [];
  let next = 0;
  for (const span of spans) {
    let { from } = span;
    while ((minus[next]?.to ?? Number.POSITIVE_INFINITY) < from) next += 1;
    for (let index = next; from <= span.to; index += 1) {
      const cut = minus[index];
      if (cut === undefined || cut.from > span.to) break;
      if (cut.from > from) left.push({ from, to: cut.from - 1 });
      from = cut.to + 1;
    }
    if (from <= span.to) left.push({ from, to: span.to });
  }
  return left;
}

export function within(spans: readonly Span[], bounds: readonly Span[]): Span[] {
  return without(spans, without(spans, bounds));
}

export function isSame(one: CursorState, other: CursorState): boolean {
  const key = ({ from, to }: Span) => `${from}-${to}`;
  return one.readTo === other.readTo && one.gaps.map(key).join() === other.gaps.map(key).join();
}
