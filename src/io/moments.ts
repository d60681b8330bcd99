// Days and times as others write them, read in one place.
//
// Promises: what the calendar does not have is null, never an error and never another day. Source: RFC 3339, 5.6.
// A leap second is right by its grammar and null here: no Date can tell it. An offset without its colon (ISO 8601)
// is taken too: Python's strftime writes it, and so do the clients that are generated for Python.

const dayForm = /^\d{4}-\d{2}-\d{2}$/;
const timeForm = /^(.{10})[Tt](\d{2}):(\d{2}):(\d{2})(?:\.(\d+))?(?:[Zz]|([+-])(\d{2}):?(\d{2}))$/;

// What every store and every reader of RFC 3339 can hold. PostgreSQL has no year 0, and a year of five digits
// is another format.
const first = new Date('0001-01-01T00:00:00.000Z');
const last = new Date('9999-12-31T23:59:59.999Z');

// The beginning of a day of UTC. JavaScript would take the 30th of February for the 2nd of March.
export function parseDay(text: string): Date | null {
  if (!dayForm.test(text)) return null;
  const day = new Date(`${text}T00:00:00.000Z`);
  return Number.isNaN(day.getTime()) || !day.toISOString().startsWith(text) ? null : day;
}

// A date-time of RFC 3339; digits beyond milliseconds are cut off.
export function parseMoment(text: string): Date | null {
  const [, date = '', hour = '', minute = '', second = '', fraction = '', sign, ahead = '00', minutes = '00'] =
    timeForm.exec(text) ?? [];
  const day = parseDay(date);
  if (day === null || !isClock(hour, minute) || Number(second) > 59 || !isClock(ahead, minutes)) return null;
  const offsetMs = msOf(ahead, minutes) * (sign === '-' ? -1 : 1);
  const ms = Number(second) * 1_000 + Number(fraction.slice(0, 3).padEnd(3, '0'));
  return new Date(day.getTime() + msOf(hour, minute) + ms - offsetMs);
}

const isClock = (hour: string, minute: string) => Number(hour) <= 23 && Number(minute) <= 59;
const msOf = (hour: string, minute: string) => (Number(hour) * 60 + Number(minute)) * 60_000;

// For whoever asks for a range: beyond the ends there is nothing.
export function toStorable(moment: Date): Date {
  if (moment < first) return first;
  return moment > last ? last : moment;
}
