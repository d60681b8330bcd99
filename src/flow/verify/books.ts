// Whether the books of a day are the sum of the facts that were counted into them.
//
// Promises: a verdict only on what stood still: nothing is counted without writing to a line of its day, so lines
// that the same transactions had written before and after the facts were read prove that none was counted between.
// Else the day is busy, and nothing is said of it. Memory is that of one day's lines.

import type { Count } from '../projections/books.ts';
import { addedUp } from '../projections/record-analytics.ts';
import type { Finding } from './promises.ts';

// `writer` is the transaction that wrote it last.
export type BookLine = Count & { readonly writer: string };
export type BookReads = {
  // Of one moment.
  readonly lines: (day: string) => Promise<readonly BookLine[]>;
  // What the facts of the day's orders add, of those that a receipt says were counted; each order in one part.
  readonly counted: (day: string) => AsyncIterable<readonly Count[]>;
};

// Parts between two looks whether it is worth going on.
const partsPerLook = 20;

export async function checkDay(
  reads: BookReads,
  day: string,
  onPart: () => void,
): Promise<readonly Finding[] | 'busy'> {
  const lines = await reads.lines(day);
  const stands = async () => sameWriters(lines, await reads.lines(day));
  let counted: readonly Count[] = [];
  let parts = 0;
  for await (const part of reads.counted(day)) {
    onPart();
    counted = addedUp([...counted, ...part]);
    parts += 1;
    if (parts % partsPerLook === 0 && !(await stands())) return 'busy';
  }
  return (await stands()) ? differences(day, lines, counted) : 'busy';
}

function sameWriters(before: readonly BookLine[], after: readonly BookLine[]): boolean {
  const writers = new Map(before.map((line) => [nameOf(line), line.writer]));
  return before.length === after.length && after.every((line) => writers.get(nameOf(line)) === line.writer);
}

function differences(day: string, lines: readonly Count[], counted: readonly Count[]): Finding[] {
  const facts = new Map(counted.map((line) => [nameOf(line), line]));
  const all = new Map([...counted, ...lines].map((line) => [nameOf(line), { count: 0, amount: 0n }]));
  for (const line of lines) all.set(nameOf(line), line);
  return [...all].flatMap(([name, said]) => {
    const { count, amount } = facts.get(name) ?? { count: 0, amount: 0n };
    if (said.count === count && said.amount === amount) return [];
    const what = `${name}: the books say ${said.count} (${said.amount}), the facts ${count} (${amount})`;
    return [{ promise: 'books' as const, subject: day, what }];
  });
}

const nameOf = ({ measure, value, currency, country }: Count) =>
  [measure, value, currency, country].filter((part) => part !== '').join(' ');
