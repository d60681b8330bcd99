// What happened, for two readers: a hash that tells whether two runs were the same, always; and lines for a
// person, only where somebody asked for them.
//
// Promises: the hash covers moment, actor, label and outcome of everything that crossed a border of the
// system; recording costs no allocation unless lines are kept.

import { hashOf, hashOfText } from './draws.ts';

export type Trace = {
  // `subject` is whom a line is about: an order's id, or null where it is about nobody in particular.
  readonly note: (actor: string, label: string, outcome: string, subject?: string | null, more?: () => string) => void;
  readonly hash: () => string;
  // Of one subject: what is about it, and from then on what befell processes, database and bus; none where nothing
  // is about it. All, where none is named.
  readonly lines: (subject?: string) => readonly string[];
};

type Line = { readonly text: string; readonly subject: string | null; readonly isOfAll: boolean };

const befalls =
  /^(before|after): |^(started|killed|frozen|woken|told-to-stop|stopped|crash|start|wipe|healed|complains)$/;

export function createTrace(options: { readonly nowMs: () => number; readonly keepsLines: boolean }): Trace {
  const { nowMs, keepsLines } = options;
  let first = 0;
  let second = 0x9e3779b9;
  const lines: Line[] = [];
  return {
    note: (actor, label, outcome, subject = null, more) => {
      const atMs = nowMs();
      // Moments have fractions; their low bits must count too.
      const moment = Math.imul(Math.floor(atMs), 31) ^ Math.floor((atMs % 1) * 2 ** 31);
      first = hashOf(first ^ hashOfText(actor), moment ^ hashOfText(label));
      second = hashOf(second ^ hashOfText(outcome), first);
      if (!keepsLines) return;
      const at = (atMs / 1000).toFixed(4).padStart(10);
      const text = `${at}  ${actor.padEnd(11)} ${label.padEnd(34)} ${outcome}${more === undefined ? '' : `  ${more()}`}`;
      lines.push({ text, subject, isOfAll: subject === null && (befalls.test(label) || befalls.test(outcome)) });
    },
    hash: () => first.toString(16).padStart(8, '0') + second.toString(16).padStart(8, '0'),
    lines: (subject) => {
      const first = lines.findIndex((line) => subject === undefined || line.subject === subject);
      return (first === -1 ? [] : lines.slice(first))
        .filter((line) => subject === undefined || line.isOfAll || line.subject === subject)
        .map((line) => line.text);
    },
  };
}

type Row = Readonly<Record<string, unknown>>;
// What everybody knows who reads of the row, and what is for the machine alone.
const unsaid: ReadonlySet<string> = new Set(['order_id', 'traceparent', 'fingerprint', 'raw', 'xid', 'updated_at']);

// What tells the rows of one order in a table from each other.
const naming = ['consumer', 'name'];

// Of a changed row which one it is and what has changed, of any other what it holds.
export function rowInWords(before: Row | null, after: Row | null): string {
  const columns = Object.entries(after ?? before ?? {}).filter(([column]) => !unsaid.has(column));
  if (before === null || after === null) {
    const there = columns.filter(([, value]) => value !== null);
    return there.map(([column, value]) => `${column} ${said(value)}`).join(', ');
  }
  const changed = columns.filter(([column, value]) => said(value) !== said(before[column]));
  const words = changed.map(([column, value]) => `${column} ${said(before[column])} → ${said(value)}`);
  return [...naming.flatMap((column) => (column in after ? [said(after[column])] : [])), ...words].join(', ');
}

function said(value: unknown): string {
  if (value instanceof Date) return value.toISOString().slice(11);
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}
