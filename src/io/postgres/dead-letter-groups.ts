// The causes of what waits for a person: open dead letters counted by what they have in common.
//
// Promises: by consumer, code and partner every cause is found, however many dead letters there are: the index is skipped
// through from cause to cause, and each is counted up to a bound. By anything else (country, amount, time), or among a
// selection that no index has, the newest ones are counted, and the answer says back to when.

import type { DeadLetterSelection } from '../../flow/dead-letters.ts';
import type { DeadLetterGroup, DeadLetterGroups, GroupKey } from '../../flow/operators/ports.ts';
import type { Query } from './database.ts';
import { bounded, countMax, readEndOfLook, selecting } from './dead-letter-list.ts';

const { looked, isLookedThrough, indexedValues, lookedValues, looksThrough } = selecting;

// More causes than anybody reads; each costs a count.
const causesMax = 100;
const groupsMax = 200;

type CauseRow = { consumer: string; code: string; partner: string; count: number } & SampleRow;
type SampleRow = { oldest_at: Date; newest_at: Date; sample_id: string; sample_message: string };

const cause = '(l.consumer, l.code, l.partner)';
const isOfCause = 'l.closed_at IS NULL AND l.consumer = c.consumer AND l.code = c.code AND l.partner = c.partner';
const firstCause = (where: string) =>
  `SELECT l.consumer, l.code, l.partner FROM dead_letters l WHERE l.closed_at IS NULL ${where}
   ORDER BY l.consumer, l.code, l.partner LIMIT 1`;

// All of them: with a consumer given the planner would sort its dead letters for each step (seen: 0.8 s instead of 0.03 s).
async function readCauses(query: Query): Promise<CauseRow[]> {
  return query<CauseRow>(
    `/* group-dead-letters-by-cause */ WITH RECURSIVE found AS (
       (${firstCause('')})
       UNION ALL
       SELECT next.* FROM found f CROSS JOIN LATERAL (${firstCause(`AND ${cause} > (f.consumer, f.code, f.partner)`)}) AS next
     )
     SELECT c.*, n.count, newest.failed_at AS newest_at, newest.id AS sample_id, newest.message AS sample_message,
            oldest.failed_at AS oldest_at
     FROM (SELECT * FROM found LIMIT ${causesMax}) AS c
     CROSS JOIN LATERAL (SELECT count(*) FROM (SELECT FROM dead_letters l WHERE ${isOfCause} LIMIT ${countMax + 1}) AS counted) AS n
     CROSS JOIN LATERAL (SELECT l.failed_at, l.id, l.message FROM dead_letters l WHERE ${isOfCause}
                         ORDER BY l.failed_at DESC, l.id DESC LIMIT 1) AS newest
     CROSS JOIN LATERAL (SELECT l.failed_at FROM dead_letters l WHERE ${isOfCause}
                         ORDER BY l.failed_at, l.id LIMIT 1) AS oldest`,
  );
}

const expressions: Readonly<Record<GroupKey, string>> = {
  consumer: 'l.consumer',
  code: 'l.code',
  partner: 'l.partner',
  country: 'o.country',
  currency: 'o.currency',
  // Powers of ten, in the minor units of each currency.
  amount: 'power(10, floor(log(o.amount)))::float8',
  hour: `date_trunc('hour', l.failed_at, 'UTC')`,
  day: `date_trunc('day', l.failed_at, 'UTC')`,
};
type Key = string | number | Date;
type GroupRow = { readonly [K in GroupKey]?: Key } & { count: number } & SampleRow;

async function readGroups(query: Query, by: readonly GroupKey[], asked: DeadLetterSelection): Promise<GroupRow[]> {
  const keys = by.map((key) => `${expressions[key]} AS ${key}`).join(', ');
  const numbers = by.map((_, index) => index + 1).join(', ');
  return query<GroupRow>(
    `/* group-dead-letters */ SELECT g.*, s.message AS sample_message FROM (
       SELECT ${keys}, count(*), min(l.failed_at) AS oldest_at, max(l.failed_at) AS newest_at,
              (array_agg(l.id ORDER BY l.failed_at DESC, l.id DESC))[1] AS sample_id
       FROM (${looked}) l JOIN orders o ON o.id = l.order_id WHERE ${isLookedThrough}
       GROUP BY ${numbers} ORDER BY count(*) DESC, ${numbers} LIMIT $1
     ) AS g JOIN dead_letters s ON s.id = g.sample_id`,
    [...indexedValues(groupsMax, asked), ...lookedValues(asked)],
  );
}

const causes: readonly GroupKey[] = ['consumer', 'code', 'partner'];

export async function readDeadLetterGroups(
  query: Query,
  given: readonly GroupKey[],
  asked: DeadLetterSelection,
): Promise<DeadLetterGroups> {
  // Amounts of different currencies are not compared.
  const by = [...new Set(given.includes('amount') ? [...given, 'currency' as const] : given)];
  const { orderId, from, to } = asked;
  const isByCause = by.every((key) => causes.includes(key)) && !looksThrough(asked) && !(orderId || from || to);
  const isSelected = (row: CauseRow) =>
    (['consumer', 'code', 'partner'] as const).every((key) => (asked[key] ?? row[key]) === row[key]);
  const found: GroupRow[] = isByCause ? await readCauses(query) : await readGroups(query, by, asked);
  const rows = isByCause ? (found as CauseRow[]).filter(isSelected) : found;
  const end = isByCause ? null : await readEndOfLook(query, asked);
  const items = merged(by, rows).sort((one, other) => other.count - one.count);
  const isFull = found.length === (isByCause ? causesMax : groupsMax);
  const sum = rows.reduce((total, { count }) => total + count, 0);
  const isCut = isFull || end !== null || rows.some(({ count }) => count > countMax);
  return { items, total: { count: sum, isAtLeast: isCut }, lookedBackTo: end?.failedAt ?? null };
}

// Rows that differ in nothing that was asked for.
function merged(by: readonly GroupKey[], rows: readonly GroupRow[]): DeadLetterGroup[] {
  const found = new Map<string, GroupRow>();
  for (const row of rows) {
    const key = JSON.stringify(by.map((name) => row[name]));
    const known = found.get(key);
    if (known === undefined) found.set(key, row);
    else {
      const newest = row.newest_at > known.newest_at ? row : known;
      const oldestAt = row.oldest_at < known.oldest_at ? row.oldest_at : known.oldest_at;
      found.set(key, { ...newest, oldest_at: oldestAt, count: row.count + known.count });
    }
  }
  return [...found.values()].map((row) => ({
    group: Object.assign({}, ...by.map((name) => partOf(name, row[name]))),
    ...bounded(row.count),
    oldestAt: row.oldest_at,
    newestAt: row.newest_at,
    sampleId: row.sample_id,
    sampleMessage: row.sample_message,
  }));
}

const hourMs = 3_600_000;
// As the selection has it, so that a group can be asked for.
function partOf(key: GroupKey, value: Key | undefined): DeadLetterGroup['group'] {
  if (key === 'partner') return { partner: value === '' ? null : String(value) };
  if (key === 'amount') return { amountMin: Number(value), amountMax: Number(value) * 10 - 1 };
  if (key !== 'hour' && key !== 'day') return { [key]: String(value) };
  const from = value as Date;
  return { from, to: new Date(from.getTime() + (key === 'hour' ? hourMs : 24 * hourMs)) };
}
