// The cursor of a list: the place after which the next page begins.
//
// Promises: opaque to clients, yet fully checked: only what `encodeCursor` can have written is read
// back, so no crafted cursor reaches the store with a date or an id that it could choke on.

import { Buffer } from 'node:buffer';
import { uuidPattern } from './requests.ts';

export type Place = { readonly at: Date; readonly id: string };

// Milliseconds since 1970, at most 14 digits: up to the year 5138, which every store can hold.
const written = new RegExp(`^(0|[1-9][0-9]{0,13})\\.(${uuidPattern.slice(1, -1)})$`);

export function encodeCursor(place: Place): string {
  return Buffer.from(`${place.at.getTime()}.${place.id}`).toString('base64url');
}

export function decodeCursor(cursor: string): Place | null {
  const [, ms, id] = written.exec(Buffer.from(cursor, 'base64url').toString('latin1')) ?? [];
  if (ms === undefined || id === undefined) return null;
  const place = { at: new Date(Number(ms)), id };
  // Base64 has several spellings for the same bytes; only ours is a cursor.
  return encodeCursor(place) === cursor ? place : null;
}
