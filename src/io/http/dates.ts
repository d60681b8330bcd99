// Every date that a client may write: its schema, and the one place where it is read.
//
// Promises: what no calendar has is refused by the name of its parameter, by its schema; what is read can be stored
// everywhere. Relies on io/moments.ts for what a day and a time are, and on the server to know these formats.

import { Type } from 'typebox';
import { parseDay, parseMoment, toStorable } from '../moments.ts';

// Longer than any that tells more than nanoseconds.
const maxLength = 40;

export const moment = (description: string) =>
  Type.String({ format: 'date-time', maxLength, description: `${description}; RFC 3339, no leap second` });
// Published as what generators know, a day.
export const dayOrMoment = (description: string) =>
  Type.String({ format: 'date', maxLength, description: `${description}; a time of RFC 3339 is taken too` });

export const dateFormats: Readonly<Record<'date' | 'date-time', (text: string) => boolean>> = {
  date: (text) => (parseDay(text) ?? parseMoment(text)) !== null,
  'date-time': (text) => parseMoment(text) !== null,
};

// What each format asks for, in words.
export const formatTexts: Readonly<Record<string, string>> = {
  email: 'must be an e-mail address',
  date: 'must be a day such as 2026-11-21, or a time of RFC 3339 that exists, with + written as %2B',
  'date-time': 'must be a time of RFC 3339 that exists, such as 2026-11-21T07:00:00Z, with + written as %2B',
};

// Expects what the formats admit.
export function readDate(given: string | undefined): Date | null {
  const date = given === undefined ? null : (parseDay(given) ?? parseMoment(given));
  return date === null ? null : toStorable(date);
}
