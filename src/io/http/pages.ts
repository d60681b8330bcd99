// What the lists of the API share: the size of a page, and the place where it begins.
//
// Promises: a parameter that is no number, and a cursor that no page of ours gave, are refused by name.

import { decodeCursor, type Place } from './cursor.ts';
import { invalidParameter } from './problems.ts';

// The one parameter that is a number. What is no number stays text, and its schema says so.
export async function readLimit(request: { query: unknown }): Promise<void> {
  const query = request.query as { limit?: unknown };
  if (typeof query.limit === 'string' && /^\d{1,9}$/.test(query.limit)) query.limit = Number(query.limit);
}

export function toPlace(cursor: string): Place {
  const place = decodeCursor(cursor);
  if (place !== null) return place;
  throw invalidParameter({
    in: 'query',
    name: 'cursor',
    detail: 'must be the nextCursor of an earlier page, unchanged',
  });
}
