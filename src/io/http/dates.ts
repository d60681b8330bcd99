// Every date that a client may write: its schema, and the one place where it is read.
//
// Promises: what no calendar has is refused by the name of its parameter; what is read can be stored everywhere.
// Relies on io/moments.ts for what a day and a time are.

import { Type } from 'typebox';
import { parseDay, parseMoment, toStorable } from '../moments.ts';
import { invalidParameter } from './problems.ts';

// Longer than any that tells more than nanoseconds.
const lengthMax = 40;
const noLeapSecond = 'no leap second; write + as %2B';

export const moment = (description: string) =>
  Type.String({ format: 'date-time', maxLength: lengthMax, description: `${description}: RFC 3339, ${noLeapSecond}` });
export const dayOrMoment = (description: string) =>
  Type.Unsafe<string>({
    type: 'string',
    maxLength: lengthMax,
    anyOf: [{ format: 'date' }, { format: 'date-time' }],
    description: `${description}; a day, or a time of RFC 3339 (${noLeapSecond})`,
  });

// What each format asks for, in words. `date` stands first in the union of both.
export const formatTexts: Readonly<Record<string, string>> = {
  email: 'must be an e-mail address',
  date: 'must be a day such as 2026-11-21, or a time of RFC 3339 with + written as %2B',
  'date-time': 'must be a time of RFC 3339 such as 2026-11-21T07:00:00Z, with + written as %2B',
};

// The schema has seen to the form and admits more than there is, such as a leap second.
export function readMoment(name: string, given: string | undefined): Date | null {
  return given === undefined ? null : read(name, parseMoment(given), 'must be a time that exists');
}

export function readDayOrMoment(name: string, given: string | undefined): Date | null {
  if (given === undefined) return null;
  return read(name, parseDay(given) ?? parseMoment(given), 'must be a day or a time that exists');
}

function read(name: string, moment: Date | null, detail: string): Date {
  if (moment === null) throw invalidParameter({ in: 'query', name, detail });
  return toStorable(moment);
}
