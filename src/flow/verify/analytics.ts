// Whether the analytics of a day are the sum of the events that the cursor of analytics has passed.
//
// Promises: lines and cursor are of one snapshot, and an event that the cursor has passed is in the analytics for good,
// so the verdict holds whatever is written meanwhile. Memory is that of one day's lines.

import type { Count } from '../projections/analytics.ts';
import { addedUp } from '../projections/count-events.ts';
import type { Finding } from './promises.ts';

// What the lines of that moment are made of: every event up to `readTo` but those in `gaps` (int8multirange), which
// are not counted yet, or are dead letters.
export type Counted = { readonly readTo: string; readonly gaps: string };
export type AnalyticsReads = {
  readonly lines: (day: string) => Promise<Counted & { readonly lines: readonly Count[] }>;
  // What the counted events of the day's orders add; each order in one part.
  readonly counted: (day: string, counted: Counted) => AsyncIterable<readonly Count[]>;
};

export async function checkDay(reads: AnalyticsReads, day: string, onPart: () => void): Promise<readonly Finding[]> {
  const { lines, ...counted } = await reads.lines(day);
  let sums: readonly Count[] = [];
  for await (const part of reads.counted(day, counted)) {
    onPart();
    sums = addedUp([...sums, ...part]);
  }
  return differences(day, lines, sums);
}

function differences(day: string, lines: readonly Count[], counted: readonly Count[]): Finding[] {
  const events = new Map(counted.map((line) => [nameOf(line), line]));
  const all = new Map([...counted, ...lines].map((line) => [nameOf(line), { count: 0, amount: 0n }]));
  for (const line of lines) all.set(nameOf(line), line);
  return [...all].flatMap(([name, said]) => {
    const { count, amount } = events.get(name) ?? { count: 0, amount: 0n };
    if (said.count === count && said.amount === amount) return [];
    const what = `${name}: the analytics say ${said.count} (${said.amount}), the events ${count} (${amount})`;
    return [{ promise: 'analytics' as const, subject: day, what }];
  });
}

const nameOf = ({ measure, value, currency, country }: Count) =>
  [measure, value, currency, country].filter((part) => part !== '').join(' ');
