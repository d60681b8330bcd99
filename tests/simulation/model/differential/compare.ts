// Answers and rows of two databases as texts that are equal exactly when the two mean the same.
//
// Transaction ids become their rank among those of the events; times of the database's own clock become past,
// future or none; milliseconds in a sentence become a sign. Everything else is compared as it is.

type Seen = {
  readonly rank?: (xid: string) => string;
  readonly older?: (xid: string) => string;
  readonly endMs?: number;
  // Rows without an order are compared as a set.
  readonly sorts?: boolean;
};

const xids = ['xid'];
// Of transactions that wrote no event: what they are compared with is how many events are older.
const moments = ['xmin', 'xact'];
const clocks = ['due_at', 'waiting_since', 'lease_until', 'down_since', 'floor', 'until'];
const measured = ['waited_ms', 'waitedMs', 'age_ms', 'ageMs', 'next_due_in_ms', 'nextDueInMs'];
const durations = ['duration_ms', 'durationMs'];
// A job is made by the database's clock, an order by its client's, which is further back.
const recentMs = 1_800_000;
const sentences = ['message', 'reason_message', 'text'];

export function plain(value: unknown, seen: Seen = {}): string {
  const told = toPlain(value, seen);
  const { rows } = (told ?? {}) as { rows?: unknown[] };
  if (!seen.sorts || rows === undefined) return JSON.stringify(told);
  return JSON.stringify(rows.map((row) => JSON.stringify(row)).sort());
}

function toPlain(value: unknown, seen: Seen): unknown {
  if (value === undefined) return 'nothing';
  if (typeof value === 'bigint') return String(value);
  if (value === null || typeof value !== 'object') return value;
  if (value instanceof Date) return value.toISOString();
  if (Buffer.isBuffer(value) || value instanceof Uint8Array) return Buffer.from(value).toString('hex');
  if (value instanceof Error) return { error: value.name, message: value.message };
  if (value instanceof Set) return [...value].map((one) => JSON.stringify(toPlain(one, seen))).sort();
  if (Array.isArray(value)) return value.map((one) => toPlain(one, seen));
  // pg names no order of columns that anybody relies on.
  return Object.fromEntries(
    Object.entries(value)
      .sort(([one], [other]) => (one < other ? -1 : 1))
      .map(([name, inner]) => [name, columnOf(name, inner, seen)]),
  );
}

function columnOf(name: string, value: unknown, seen: Seen): unknown {
  if (value === null) return null;
  if (xids.includes(name)) return seen.rank?.(String(value)) ?? value;
  if (moments.includes(name)) return seen.older?.(String(value)) ?? 'a transaction';
  if (durations.includes(name)) return 'some time';
  if (measured.includes(name)) return Number(value) > 0;
  if (clocks.includes(name) || (name === 'created_at' && Number(value) > (seen.endMs ?? Infinity) - recentMs))
    return Number(value) === -Infinity ? 'never' : Number(value) <= (seen.endMs ?? 0) ? 'past' : 'future';
  if (sentences.includes(name) && typeof value === 'string') return value.replace(/\d+ (m?s)\b/g, '# $1');
  if (name === 'isDown' && Array.isArray(value)) return [...value].sort();
  return toPlain(value, seen);
}

export function rankedBy(events: readonly { readonly xid: string }[]): (xid: string) => string {
  const sorted = [...new Set(events.map(({ xid }) => Number(xid)))].sort((one, other) => one - other);
  const ranks = new Map(sorted.map((xid, index) => [String(xid), `event ${index}`]));
  return (xid) => ranks.get(xid) ?? (xid === '0' ? 'the beginning' : `no event's`);
}

export function olderThan(events: readonly { readonly xid: string }[]): (xid: string) => string {
  return (xid) => `${events.filter((event) => Number(event.xid) < Number(xid)).length} events are older`;
}
