// The page that `npm run orderly -- help` prints: the roles of this release and every setting.
//
// Promises: settings, defaults and meanings are those of config.ts, so that the page cannot be wrong
// about them; only roles that exist are listed. Plain text, at most 120 columns.

import { type Role, settingGroups } from './config.ts';

const roleTexts: Readonly<Record<Role | 'help', string>> = {
  start: 'everything in one process: API, relay, all workers; the database is embedded unless DATABASE_URL is set',
  migrate: 'brings the database to the schema of this release, then ends',
  sandbox: 'the simulated partners over HTTP: payment provider, carrier and mail',
  verify: 'checks every promise on the database, live or stopped: [--since T] [--json] [--ledger URL], see --help',
  help: 'this page',
};

const examples = [
  ['npm start', 'no infrastructure at all; data in .orderly/data'],
  ['PORT=8080 LOG_LEVEL=debug npm start', 'another port, every detail'],
  ['DATABASE_URL=postgres://user:password@host:5432/orderly npm start', 'on a PostgreSQL server'],
  ['ORDER_WORKER_FAILURE_PROBABILITY=0.3 npm start', 'watch retries, backoff and dead letters'],
  ['npm run orderly -- sandbox', 'the partners as a process of their own, on port 4000'],
  ['PARTNERS_URL=http://127.0.0.1:4000 npm start', 'an Orderly that talks to them'],
] as const;

export function helpText(): string {
  return [
    'Orderly takes an order and brings it to one valid end, whatever breaks on the way.',
    '',
    'Usage: npm run orderly -- ROLE        (npm start = npm run orderly -- start)',
    '',
    'Roles',
    ...aligned(Object.entries(roleTexts)),
    '',
    'Settings: environment variables, all of them optional; defaults in the second column',
    ...aligned(Object.entries(settingGroups).flatMap(([title, group]) => [[], [title], ...settingRows(group)])),
    '',
    'Examples',
    ...examples.flatMap(([command, effect]) => [`  # ${effect}`, `  ${command}`]),
    '',
    'A mistake in a setting stops the start with exit code 2 and one line per mistake.',
    '',
  ].join('\n');
}

function settingRows(group: (typeof settingGroups)[string]): string[][] {
  return Object.entries(group).map(([name, { initial, meaning }]) => [`  ${name}`, `${initial ?? '–'}`, meaning]);
}

// Pads every cell but the last of its row, so that the columns run down the whole list.
function aligned(rows: readonly (readonly string[])[]): string[] {
  const widths = [0, 1].map((column) =>
    Math.max(...rows.filter((row) => row.length > column + 1).map((row) => row[column]?.length ?? 0)),
  );
  return rows.map((row) => row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ')).map(indented);
}

function indented(line: string): string {
  return `  ${line}`.trimEnd();
}
