// What the suites of this folder share: the tools, fetched into .orderly/deploy, and a copy of a file or folder with a
// mistake in it, which the tool must find, or it proves nothing.

import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { createTools, type Ran } from '../clients/tools.ts';
import { root } from './services.ts';

export const tools = createTools(join(root, '.orderly/deploy'), import.meta.dirname);
export const limits = { timeoutMs: 300_000 };

export function assertPasses({ code, output }: Ran): void {
  assert.equal(code, 0, output);
}

export function assertFinds({ code, output }: Ran, told: RegExp): void {
  assert.notEqual(code, 0, output);
  assert.match(output, told);
}

// Calls with the path of a copy in which one text is another.
export async function withMistake(
  original: string,
  { file, from, to }: { readonly file?: string; readonly from: string | RegExp; readonly to: string },
  call: (copy: string) => Promise<void>,
): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'orderly-deploy-'));
  try {
    const copy = join(directory, basename(original));
    cpSync(join(root, original), copy, { recursive: true });
    const changed = file === undefined ? copy : join(copy, file);
    const text = readFileSync(changed, 'utf8');
    const mistaken = text.replace(from, to);
    assert.notEqual(mistaken, text, `${original} has no ${from}`);
    writeFileSync(changed, mistaken);
    await call(copy);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
