// What `npm run orderly -- verify` may be told, and its page of help.
//
// Promises: an argument that is not understood is one sentence saying what is allowed; nothing is started.

import { parseArgs } from 'node:util';
import { promiseNames, promises } from '../flow/verify/promises.ts';
import { parseDay } from '../io/moments.ts';
import { quote } from './setting.ts';
import { StartError } from './start-error.ts';

export type VerifyOptions = {
  // Null = all orders.
  readonly since: Date | null;
  readonly json: boolean;
  readonly ledgerUrl: string | null;
};

const units = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
// A day, or a moment with its zone: without one it would depend on where the command runs.
const moment = /^\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d))?$/;

// `help` where the page of help is asked for.
export function readVerifyOptions(args: readonly string[], now: Date): VerifyOptions | 'help' {
  const { since, json, ledger, help } = parse(args);
  if (help) return 'help';
  return { since: since === undefined ? null : toTime(since, now), json, ledgerUrl: toUrl(ledger) };
}

function parse(args: readonly string[]) {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: {
        since: { type: 'string' },
        json: { type: 'boolean', default: false },
        ledger: { type: 'string' },
        help: { type: 'boolean', short: 'h', default: false },
      },
    });
    return values;
  } catch {
    const given = quote(args.join(' '));
    throw new StartError(`verify does not understand ${given}: it takes --since T, --json, --ledger URL and --help.`);
  }
}

function toTime(given: string, now: Date): Date {
  const [, count, unit] = /^(\d{1,6})([smhd])$/.exec(given) ?? [];
  // Ids begin with the milliseconds since 1970: nothing is older.
  if (count !== undefined)
    return new Date(Math.max(0, now.getTime() - Number(count) * units[unit as keyof typeof units]));
  const time = new Date(given);
  if (moment.test(given) && parseDay(given.slice(0, 10)) !== null && time.getTime() >= 0) return time;
  const example = '2h, 7d, 2026-11-21 or 2026-11-21T07:00:00Z';
  throw new StartError(`--since ${quote(given)} is no time: it takes a duration or a moment, such as ${example}.`);
}

function toUrl(given: string | undefined): string | null {
  if (given === undefined) return null;
  const url = URL.parse(given);
  if (url !== null && ['http:', 'https:'].includes(url.protocol)) return given;
  throw new StartError(`--ledger ${quote(given)} is no URL of a sandbox: it takes one such as http://127.0.0.1:4000.`);
}

export function verifyHelp(): string {
  const width = Math.max(...promiseNames.map((name) => name.length));
  return [
    'Checks on a live or stopped system what Orderly promises, order by order.',
    '',
    'Usage: npm run orderly -- verify [--since T] [--json] [--ledger URL]',
    '',
    '  --since T     only orders that were placed since T: a duration (90s, 15m, 2h, 7d) or a moment',
    '                (2026-11-21, 2026-11-21T07:00:00Z); all orders if absent',
    '  --json        one JSON document on stdout instead of the table',
    "  --ledger URL  compares with the partners' ledger of the sandbox at URL too",
    '',
    'Ends with 0 when nothing is violated, 1 when something is, 2 when it could not be checked.',
    'With settings as the workers have them (DATABASE_URL, ORDER_WORKER_MAX_RETRIES, RETENTION_DAYS). On the',
    'embedded database Orderly must be stopped.',
    '',
    'What is checked; what is only late is told and is no violation',
    ...promiseNames.map((name) => `  ${name.padEnd(width)}  ${promises[name].promise}`),
    '',
  ].join('\n');
}
