// The cursor of a list: the place after which the next page begins.
//
// Promises: opaque to clients, and every cursor that its pattern admits is a place that the store can look for: the
// published pattern is the whole check.

export type Place = { readonly at: Date; readonly id: string };

// 12 digits of milliseconds since 1970, up to the year 3642, and the 32 digits of the id.
export const cursorPattern = '^[0-2][0-9a-f]{43}$';
const written = /^([0-9a-f]{12})(.{8})(.{4})(.{4})(.{4})(.{12})$/;

export function encodeCursor({ at, id }: Place): string {
  return at.getTime().toString(16).padStart(12, '0') + id.replaceAll('-', '').toLowerCase();
}

// Expects what cursorPattern admits.
export function decodeCursor(cursor: string): Place {
  const [, ms = '', ...id] = written.exec(cursor) ?? [];
  return { at: new Date(Number.parseInt(ms, 16)), id: id.join('-') };
}
