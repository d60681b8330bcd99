// Multiranges of positions, in the text that PostgreSQL writes and reads: `{[3,4),[7,10)}`.

import { SqlError } from './values.ts';

// Both ends included.
export type Span = { readonly from: number; readonly to: number };

export function toSpans(given: unknown): Span[] {
  const text = String(given);
  if (!/^\{(\[\d+,\d+\)(,\[\d+,\d+\))*)?\}$/.test(text)) {
    throw new SqlError('22P02', `malformed multirange literal: "${text}"`);
  }
  const spans = [...text.matchAll(/\[(\d+),(\d+)\)/g)].map(([, from, to]) => ({
    from: Number(from),
    to: Number(to) - 1,
  }));
  return union(spans.filter(({ from, to }) => from <= to));
}

export const toMultirange = (spans: readonly Span[]): string =>
  `{${spans.map(({ from, to }) => `[${from},${to + 1})`).join(',')}}`;

// Sorted; what touches is one.
export function union(spans: readonly Span[]): Span[] {
  const joined: Span[] = [];
  for (const span of spans.toSorted((one, other) => one.from - other.from)) {
    const last = joined.at(-1);
    if (last === undefined || span.from > last.to + 1) joined.push(span);
    else joined[joined.length - 1] = { from: last.from, to: Math.max(last.to, span.to) };
  }
  return joined;
}

export const holds = (spans: readonly Span[], position: number): boolean =>
  spans.some(({ from, to }) => from <= position && position <= to);
