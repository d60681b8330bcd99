// Logs for tests: nothing is printed; `createMemoryLog` keeps the lines for a test that asks for them.

import type { Log } from '../../src/engine/ports.ts';

const nothing = () => {};
export const silentLog: Log = { debug: nothing, info: nothing, warn: nothing, error: nothing };

export function createMemoryLog(): Log & { readonly lines: string[] } {
  const lines: string[] = [];
  const keep = (level: string) => (_: object, message: string) => void lines.push(`${level}: ${message}`);
  return { lines, debug: keep('debug'), info: keep('info'), warn: keep('warn'), error: keep('error') };
}
