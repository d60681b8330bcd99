// What a run leaves in the repository: its numbers as one small JSON, plots, and the table in a document.
//
// Promises: only what stands between the two marks of its name is replaced in the document.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './contender.ts';
import { describe, type Machine } from './machine.ts';

const folder = join(root, 'docs/benchmarks');

export type Saved = {
  // Names the files and the marks, such as `peers`.
  readonly name: string;
  // In docs.
  readonly document: 'benchmarks.md' | 'scale.md';
  readonly command: string;
  readonly machine: Machine;
  readonly results: object;
  // Markdown.
  readonly text: string;
  readonly plots: Readonly<Record<string, string>>;
};

export function save({ name, document, command, machine, results, text, plots }: Saved): void {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, `${name}.json`), `${JSON.stringify({ command, machine, ...results }, rounded, 1)}\n`);
  for (const [file, svg] of Object.entries(plots)) writeFileSync(join(folder, file), svg);

  const path = join(root, 'docs', document);
  const before = readFileSync(path, 'utf8');
  const [from, to] = [`<!-- ${name} -->`, `<!-- /${name} -->`];
  const [start, end] = [before.indexOf(from), before.indexOf(to)];
  if (start < 0 || end < start) throw new Error(`docs/${document} has no marks ${from} and ${to}`);
  const images = Object.keys(plots).map((file) => `![${file.replace('.svg', '')}](benchmarks/${file})`);
  const block = [
    from,
    `\`${command}\`\n`,
    `${describe(machine)}\n`,
    `${text}\n`,
    ...images,
    `\nAll numbers: [${name}.json](benchmarks/${name}.json).`,
  ];
  writeFileSync(path, `${before.slice(0, start)}${block.join('\n')}\n${before.slice(end)}`);
}

// Four digits are more than any of them is worth.
function rounded(_: string, value: unknown): unknown {
  return typeof value === 'number' && !Number.isInteger(value) ? Number(value.toPrecision(4)) : value;
}
