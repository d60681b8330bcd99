// The database that the settings name, in words: which it is, and why it cannot be used.
//
// Promises: no password, no user, no parameter of a URL is said; whoever reads it can tell one database from
// another, the embedded one from a server's too.

import { connectionTrouble } from '../io/postgres/connection-trouble.ts';
import { StartError } from './start-error.ts';

export type Named = { readonly url: string | null; readonly dataDir: string };

// Null = embedded, under `dataDir`.
export function databaseName({ url, dataDir }: Named): string {
  if (url === null) return `the embedded database in ${dataDir}`;
  const { hostname, port, pathname, searchParams } = new URL(url);
  const host = searchParams.get('host') ?? decodeURIComponent(hostname);
  const at = host === '' ? '' : ` at ${host}${host.startsWith('/') ? '' : `:${port || 5432}`}`;
  const name = decodeURIComponent(pathname.slice(1));
  return `the ${name === '' ? 'default database' : `database ${name}`}${at}`;
}

// What to throw instead of `error`: a sentence where the connection is at fault, else the error itself.
export function cannotUse(error: unknown, named: Named, setting = 'DATABASE_URL'): unknown {
  const trouble = connectionTrouble(error);
  if (trouble === null) return error;
  return new StartError(`${capital(databaseName(named))} cannot be used (${setting}): ${trouble}.`);
}

export const capital = (text: string) => text.charAt(0).toUpperCase() + text.slice(1);
