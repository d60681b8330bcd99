// The page that `npm run orderly -- help` prints: the roles of this release and every setting.
//
// Promises: settings, defaults and meanings are those of settings.ts, so that the page cannot be wrong
// about them; only roles that exist are listed. Plain text, at most 120 columns.

import { allConsumers } from './arguments.ts';
import type { Role } from './config.ts';
import { settingGroups } from './settings.ts';

const roleTexts: Readonly<Record<Role | 'help', string>> = {
  start: 'everything in one process; --processes [--scale payment=3,relay=2]: each role a process of its own, here',
  api: 'the API alone; needs DATABASE_URL and a BUS that reaches other processes, as the next two do',
  relay: 'brings what is owed to the bus, and cleans up; several may run',
  worker: `worker CONSUMER…: ${allConsumers.join(' ')}; none named = all`,
  migrate: 'brings the database to the schema of this release, then ends',
  sandbox: 'the simulated partners over HTTP: payment provider, carrier and mail',
  verify: 'checks every promise on the database, live or stopped: [--since T] [--json] [--ledger URL], see --help',
  reindex: 'builds what GET /orders searches anew from the orders, while everything works on',
  show: 'show ORDER: an order and its timeline in readable lines, as the API at HOST and PORT tells them',
  dlq: 'dlq list|groups|show|replay|discard: dead letters, through a running API; see dlq --help',
  pause: 'pause consumer|partner|order NAME --reason TEXT: work that waits until it is resumed',
  resume: 'resume consumer|partner|order NAME: lets it go on',
  help: 'this page; --version says which release this is',
};

const examples = [
  ['npm start', 'no infrastructure at all; data in .orderly/data'],
  ['PORT=8080 LOG_LEVEL=debug npm start', 'another port, every detail'],
  ['DATABASE_URL=postgres://user:password@host:5432/orderly npm start', 'on a PostgreSQL server'],
  ['ORDER_WORKER_FAILURE_PROBABILITY=0.3 npm start', 'watch retries, backoff and dead letters'],
  ['BUS=kafka npm run orderly -- start --processes', 'API, relay and workers as processes, with DATABASE_URL set'],
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
    ...Object.entries(settingGroups).flatMap(([title, group]) => ['', `  ${title}`, ...aligned(settingRows(group))]),
    '',
    'Examples',
    ...examples.flatMap(([command, effect]) => [`  # ${effect}`, `  ${command}`]),
    '',
    'A mistake in a setting stops the start with exit code 2 and one line per mistake.',
    '',
  ].join('\n');
}

function settingRows(group: (typeof settingGroups)[string]): string[][] {
  return Object.entries(group).map(([name, { initial, meaning }]) => [`  ${name}`, `${initial ?? ''}` || '–', meaning]);
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
