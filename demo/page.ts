// What a reader of the demonstration sees: one line per event of the story, then timelines, in columns of
// together 100 characters.
//
// Promises: longer text goes on in the next line of its column; color only on a terminal that wants it
// (NO_COLOR is respected), and nothing is told by color alone.

import { styleText } from 'node:util';

const width = 100;
const columns = { time: 7, label: 16, offset: 9, type: 22 } as const;
const gap = '  ';
// Room for the longest status, PROCESSING.
const statusWidth = 10;
const textWidth = width - statusWidth - columns.time - columns.label - 4 * gap.length;

type Color = Parameters<typeof styleText>[0];
// Looks at the terminal and at the environment by itself.
const paint = (color: Color, text: string) => styleText(color, text, { stream: process.stdout });

const statusColors: Readonly<Record<string, Color>> = { PROCESSED: 'green', FAILED: 'red', CANCELED: 'magenta' };

export type StoryLine = {
  readonly atMs: number;
  // The part of the story that begins here; empty where it goes on.
  readonly label: string;
  readonly text: string;
  readonly status: string;
};
export type TimelineLine = { readonly offsetMs: number; readonly type: string; readonly text: string };

export function print(text = ''): void {
  process.stdout.write(`${text}\n`);
}

export function printStory({ atMs, label, text, status }: StoryLine): void {
  const time = paint('dim', `${(atMs / 1000).toFixed(1)} s`.padStart(columns.time));
  const [first = '', ...more] = wrap(text, textWidth);
  const color = statusColors[status] ?? 'yellow';
  const shown = status === '' ? '' : paint(color, status);
  const begins = label === '' ? ' '.repeat(columns.label) : paint('bold', label.padEnd(columns.label));
  print([time, begins, first.padEnd(textWidth), shown].join(gap).trimEnd());
  for (const line of more) print(' '.repeat(columns.time + columns.label + 2 * gap.length) + line);
}

export function printTimeline(title: string, id: string, lines: readonly TimelineLine[]): void {
  print(`\n${paint('bold', title)}${gap}${paint('dim', id)}`);
  const room = width - columns.offset - columns.type - 3 * gap.length;
  for (const { offsetMs, type, text } of lines) {
    const offset = paint('dim', `+${groupDigits(offsetMs)} ms`.padStart(columns.offset));
    const isEvent = /V\d+$/.test(type);
    const [first = '', ...more] = wrap(shortenIds(text), room);
    print([gap + offset, paint(isEvent ? 'cyan' : 'yellow', type.padEnd(columns.type)), first].join(gap));
    for (const line of more) print(' '.repeat(columns.offset + columns.type + 3 * gap.length) + line);
  }
}

// A closing paragraph, over the whole width.
export function printParagraph(text: string): void {
  for (const line of wrap(text, width)) print(line);
}

export function groupDigits(value: number): string {
  return value.toLocaleString('en').replaceAll(',', ' ');
}

// The last four characters tell apart what a demonstration shows.
function shortenIds(text: string): string {
  return text.replace(/[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{8}([0-9a-f]{4})/g, '…$1');
}

function wrap(text: string, room: number): string[] {
  const lines = [''];
  for (const word of text.split(' ')) {
    const last = lines.at(-1) ?? '';
    if (last !== '' && last.length + 1 + word.length > room) lines.push(word);
    else lines[lines.length - 1] = last === '' ? word : `${last} ${word}`;
  }
  return lines;
}
