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
  // Of one subject: what is about it, and what befell processes, database and bus. All, where none is named.
  readonly lines: (subject?: string) => readonly string[];
};

type Line = { readonly text: string; readonly subject: string | null; readonly isOfAll: boolean };

const befalls =
  /^(before|after): |^(started|killed|frozen|woken|told-to-stop|stopped|crash|start|wipe|healed|warns|complains)$/;

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
      const text = `${at}  ${actor.padEnd(9)} ${label.padEnd(34)} ${outcome}${more === undefined ? '' : `  ${more()}`}`;
      lines.push({ text, subject, isOfAll: subject === null && (befalls.test(label) || befalls.test(outcome)) });
    },
    hash: () => first.toString(16).padStart(8, '0') + second.toString(16).padStart(8, '0'),
    lines: (subject) =>
      lines
        .filter((line) => subject === undefined || line.isOfAll || line.subject === subject)
        .map((line) => line.text),
  };
}
