// What `npm run services` prints: a table for people, and lines that a shell can take over.
//
// Promises: what a person reads shows no password; lines for a shell do, for they are the addresses; both have one
// row per server, in the order of the names.

import { type Standing, servers } from './fleet.ts';
import { shown } from './server.ts';

export function tableOf(standings: readonly Standing[]): string {
  const rows = standings.map(({ name, how, pid, address, why }) => [
    name,
    how === 'none' ? '–' : how,
    pid === null ? '–' : String(pid),
    address === null ? '–' : shown(address),
    why === null ? 'yes' : `no: ${why}`,
  ]);
  const all = [['server', 'by', 'process', 'address', 'answers'], ...rows];
  const widths = [0, 1, 2, 3].map((column) => Math.max(...all.map((row) => row[column]?.length ?? 0)));
  return all.map((row) => row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ')).join('\n');
}

export type Environment = Readonly<Record<string, string | undefined>>;

// Of the servers that answer. What a client needs besides is only given where the surroundings have none.
export function settingsOf(standings: readonly Standing[], environment: Environment): Record<string, string> {
  const settings: Record<string, string> = {};
  for (const { name, how, address, why } of standings) {
    if (address === null || why !== null) continue;
    const { setting, besides = {} } = servers[name];
    settings[setting] = address;
    const hasOwn = environment.AWS_PROFILE !== undefined || how === 'environment';
    for (const [key, value] of Object.entries(besides)) {
      if (!hasOwn && environment[key] === undefined) settings[key] = value;
    }
  }
  return settings;
}

// For people: the same, where nothing may be seen over a shoulder.
export function maskedExportsOf(settings: Readonly<Record<string, string>>): string {
  return exportsOf(Object.fromEntries(Object.entries(settings).map(([name, value]) => [name, shown(value)])));
}

export function exportsOf(settings: Readonly<Record<string, string>>): string {
  const quoted = (value: string) => (/^[\w./:@,-]+$/.test(value) ? value : `'${value.replaceAll("'", "'\\''")}'`);
  return Object.entries(settings)
    .map(([name, value]) => `export ${name}=${quoted(value)}`)
    .join('\n');
}
