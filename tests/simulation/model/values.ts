// Parameters as the TypeScript passes them and pg would send them, turned into what a column holds.
//
// Promises: what PostgreSQL refuses is refused with the same SQLSTATE; NULL stays null. An array comes as
// a JavaScript array or as the text '{a,b}' of `plainArray`.

export class SqlError extends Error {
  readonly code: string;
  constructor(code: string, message: string) {
    super(message);
    this.name = 'SqlError';
    this.code = code;
  }
}

type Convert<T> = (value: unknown) => T;

const canonical = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const invalid = (type: string, value: unknown) =>
  new SqlError('22P02', `invalid input syntax for type ${type}: "${value}"`);

const toUuid: Convert<string> = (value) => {
  if (typeof value === 'string' && canonical.test(value)) return value;
  const hex = String(value)
    .toLowerCase()
    .replace(/^\{(.*)\}$/, '$1')
    .replaceAll('-', '');
  if (!/^[0-9a-f]{32}$/.test(hex)) throw invalid('uuid', value);
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
};
const toText: Convert<string> = (value) => {
  const text = String(value);
  if (text.includes('\0')) throw new SqlError('22021', 'invalid byte sequence for encoding "UTF8": 0x00');
  return text.isWellFormed() ? text : text.toWellFormed();
};
const toWhole = (type: string, min: number, max: number): Convert<number> => {
  return (value) => {
    if (typeof value !== 'number' && !/^\s*[+-]?\d+\s*$/.test(String(value))) throw invalid(type, value);
    const number = Number(value);
    if (!Number.isInteger(number)) throw invalid(type, value);
    if (number < min || number > max) throw new SqlError('22003', `value "${value}" is out of range for type ${type}`);
    return number;
  };
};
const toInteger = toWhole('integer', -(2 ** 31), 2 ** 31 - 1);
const toBigint = toWhole('bigint', -(2 ** 63), 2 ** 63 - 1);
const toFloat: Convert<number> = (value) => {
  const number = Number(value);
  if (Number.isNaN(number)) throw invalid('double precision', value);
  return number;
};
const toTime: Convert<Date> = (value) => {
  const time = value instanceof Date ? value : new Date(String(value));
  if (Number.isNaN(time.getTime())) throw new SqlError('22007', `invalid input syntax for timestamptz: "${value}"`);
  return time;
};
const toBytes: Convert<Buffer> = (value) => {
  if (Buffer.isBuffer(value)) return value;
  throw invalid('bytea', value);
};

// A json column keeps its text for the length of it, and hands out the parsed value.
export type Json = { readonly text: string; readonly value: unknown };
const toJson: Convert<Json> = (given) => {
  const text = String(given);
  try {
    return { text, value: JSON.parse(text) };
  } catch {
    throw invalid('json', text);
  }
};

const malformed = (value: string) => new SqlError('22P02', `malformed array literal: "${value}"`);
// What would need an escape, an element that is empty, and one with space around it.
const unplain = /["{}\\]|^\s|\s$|^,|,$|,,|\s,|,\s/;

function elements(value: unknown): readonly unknown[] {
  if (Array.isArray(value)) return value;
  if (typeof value !== 'string') throw new Error('the model knows arrays as JavaScript arrays or as text');
  const inner = value.slice(1, -1);
  if (!value.startsWith('{') || !value.endsWith('}') || unplain.test(inner)) throw malformed(value);
  return inner === '' ? [] : inner.split(',');
}
const isNull = (element: string) => element.length === 4 && element.toUpperCase() === 'NULL';

// NULL may be in every column, so every one of these answers null for null; `check` of a table refuses it.
const orNull =
  <T>(convert: Convert<T>) =>
  (value: unknown): T =>
    value === null || value === undefined ? (null as T) : convert(value);
const eachOrNull =
  <T>(convert: Convert<T>) =>
  (given: unknown): T[] => {
    const converted: T[] = [];
    const isText = typeof given === 'string';
    for (const value of elements(given)) {
      const isAbsent = value === null || value === undefined || (isText && isNull(value as string));
      converted.push(isAbsent ? (null as T) : convert(value));
    }
    return converted;
  };

export const uuid = orNull(toUuid);
export const text = orNull(toText);
export const integer = orNull(toInteger);
export const bigint = orNull(toBigint);
export const float = orNull(toFloat);
export const time = orNull(toTime);
export const bytes = orNull(toBytes);
export const json = orNull(toJson);

export const uuids = eachOrNull(toUuid);
export const texts = eachOrNull(toText);
export const integers = eachOrNull(toInteger);
export const bigints = eachOrNull(toBigint);
export const floats = eachOrNull(toFloat);
export const times = eachOrNull(toTime);
export const byteses = eachOrNull(toBytes);
export const jsons = eachOrNull(toJson);
