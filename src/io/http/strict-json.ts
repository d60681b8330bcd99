// Reads JSON as RFC 7493 (I-JSON) has it, on which the canonical form of a payload (RFC 8785) rests.
//
// Promises: a member that stands twice in one object is refused by name, and so are half of a surrogate pair and a
// number with a fraction that only the rounding to a double makes a whole one, and an array or object of more entries
// than any request has, before a schema looks at each of them; SyntaxError where it is no JSON at all. Costs 1 µs more than JSON.parse for a common order, and grows with nothing but length.
// A library costs the same, names no place, and a deep body overflows its stack.

import { toPointer, toToken } from './mistakes.ts';
import { ProblemError } from './problems.ts';
import { entriesMax } from './requests.ts';

// Where the reading stands: the names seen so far in an object (null = an array), and the member or element.
type Level = { readonly names: Set<string> | null; at: string | number; isBeforeName: boolean };

export function parseStrictly(text: string): unknown {
  const value: unknown = JSON.parse(text);
  assertStrict(text);
  return value;
}

// Expects JSON. Outside of strings, the signs of structure and of a fraction are all that matters.
function assertStrict(text: string): void {
  const levels: Level[] = [];
  let level: Level | undefined;
  for (let at = 0; at < text.length; at += 1) {
    switch (text[at]) {
      case '{':
        level = { names: new Set(), at: '', isBeforeName: true };
        levels.push(level);
        break;
      case '[':
        level = { names: null, at: 0, isBeforeName: false };
        levels.push(level);
        break;
      case '}':
      case ']':
        levels.pop();
        level = levels.at(-1);
        break;
      case ',':
        if (typeof level?.at === 'number') {
          level.at += 1;
          if (level.at === entriesMax) throw mistake(levels.slice(0, -1), `must have 1 to ${entriesMax} entries`);
        } else if (level !== undefined) level.isBeforeName = true;
        break;
      case '"': {
        const end = endOfString(text, at);
        const string = readString(text.slice(at, end + 1));
        if (level?.isBeforeName) enter(levels, level, string);
        if (!string.isWellFormed()) throw mistake(levels, 'must not have half of a surrogate pair (RFC 7493, 2.1)');
        at = end;
        break;
      }
      case '.':
        assertFraction(levels, text, at);
        break;
      case '-':
        if (/e/i.test(text[at - 1] ?? '')) assertFraction(levels, text, at);
    }
  }
}

function endOfString(text: string, start: number): number {
  for (let end = start; ; ) {
    end = text.indexOf('"', end + 1);
    let before = end - 1;
    while (text[before] === '\\') before -= 1;
    if ((end - before) % 2 === 1) return end;
  }
}

function readString(quoted: string): string {
  return quoted.includes('\\') ? (JSON.parse(quoted) as string) : quoted.slice(1, -1);
}

function enter(levels: readonly Level[], level: Level, name: string): void {
  level.at = name;
  level.isBeforeName = false;
  if (level.names?.has(name)) throw mistake(levels, 'is there twice; a member may be there once (RFC 7493, 2.3)');
  level.names?.add(name);
  if ((level.names?.size ?? 0) > entriesMax)
    throw mistake(levels.slice(0, -1), `must have at most ${entriesMax} members`);
}

// What is no whole number even as a double, its schema refuses along with all else.
function assertFraction(levels: readonly Level[], text: string, sign: number): void {
  const isOfNumber = (at: number) => /[\d.eE+-]/.test(text[at] ?? '');
  let start = sign;
  let end = sign;
  while (isOfNumber(start - 1)) start -= 1;
  while (isOfNumber(end)) end += 1;
  const number = text.slice(start, end);
  if (!Number.isInteger(Number(number)) || isWhole(number)) return;
  throw mistake(levels, 'must be a whole number, and is one only when it is rounded');
}

// By its digits: all that stand behind the point, where the exponent has moved it to, are zeros.
function isWhole(number: string): boolean {
  const [, whole = '', fraction = '', exponent = '0'] = /^-?(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(number) ?? [];
  const behind = fraction.length - Number(exponent);
  return behind <= 0 || /^0*$/.test((whole + fraction).slice(-behind));
}

function mistake(levels: readonly Level[], detail: string): ProblemError {
  const path = levels.map(({ at }) => `/${toToken(String(at))}`).join('');
  const errors = [{ pointer: toPointer(path), detail }];
  return new ProblemError('invalid-body', 'The body has one mistake. See errors.', { errors });
}
