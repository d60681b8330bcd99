// Why no connection to the database came about, in words for whoever set its address.
//
// Promises: pure; what is wrong and what to do about it, as half a sentence, without anything secret. Null where
// the connection is not at fault, so that a defect is not told as an outage.
// Sources: PostgreSQL documentation, appendix A (SQLSTATE); Node's codes of system errors and of TLS.

import { isAway } from './errors.ts';

type Known = readonly [matches: RegExp, trouble: string];

// By SQLSTATE or the system's code; the message decides where a code has several causes.
const byCode: Readonly<Record<string, string>> = {
  '28P01': 'the server does not accept this user with this password: check both in the URL',
  '3D000': 'the server has no database of this name: create it, or name another one',
  '42501': 'this user may not connect to it: GRANT CONNECT to the user, or name another one',
  '53100': 'its disk is full: free some space there',
  '53300': 'the server has no connection left: lower DATABASE_POOL_MAX, or raise its max_connections',
  '57P03': 'the server is starting or stopping: try again in a moment',
  ECONNREFUSED: 'nothing listens there: check host and port, and that the server is running',
  ENOTFOUND: 'its host name is not known: check the URL',
  EAI_AGAIN: 'its host name cannot be looked up now: check the URL and the name server',
  ETIMEDOUT: 'it does not answer: check host and port, and that nothing in between drops connections',
  EHOSTUNREACH: 'there is no way to its host: check the URL and the network',
  ENETUNREACH: 'there is no way to its network: check the URL and the network',
  ECONNRESET: 'it closes the connection: check that a PostgreSQL server is what listens there',
};
const byMessage: readonly Known[] = [
  [/client password must be a (non-empty )?string/, 'the server asks for a password, and the URL has none: add it'],
  [
    /no pg_hba\.conf entry .*no encryption/,
    'the server lets nobody in without TLS: add ?sslmode=verify-full to the URL',
  ],
  [/no pg_hba\.conf entry/, 'the server lets this user in from elsewhere, but not from here: see its pg_hba.conf'],
  [/takes no writes/, 'it takes no writes: it is a standby, or its database or role is set to read only'],
  [
    /permission denied for schema/,
    'this user may not create tables in its schema: GRANT CREATE ON SCHEMA, or migrate as another user',
  ],
  [
    /permission denied for (table|sequence|relation|view)|must be owner of/,
    'this user may not use or change the tables that are there: GRANT the rights, or migrate as their owner',
  ],
  [/role ".*" does not exist/, 'the server has no user of this name: create it, or name another one'],
  [/does not support SSL/, 'the server offers no TLS: switch it on there, or take sslmode out of the URL'],
  [/timeout expired|due to connection timeout/, byCode.ETIMEDOUT ?? ''],
  [/Connection terminated/, byCode.ECONNRESET ?? ''],
];
const certificate = /^(CERT_|ERR_TLS_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO_)/;

export function connectionTrouble(error: unknown): string | null {
  const chain = chainOf(error);
  const { code = '', message = '', syscall } = chain.at(-1) ?? {};
  for (const one of chain) {
    const worded = byMessage.find(([matches]) => matches.test(one.message ?? ''));
    if (worded !== undefined) return worded[1];
  }
  if (code === 'ENOENT' || code === 'EACCES') {
    if (syscall === 'open') return 'a file that its URL names cannot be read: check sslrootcert, sslcert and sslkey';
    return 'there is no socket that may be used there: check the path, and that the server is running';
  }
  if (certificate.test(code)) {
    return `the certificate of the server is not trusted (${code}): name its authority by sslrootcert in the URL`;
  }
  const known = byCode[code];
  if (known !== undefined) return known;
  return isAway(error) || code === '28000' ? `it cannot be reached (${code || message}): check the URL` : null;
}

// From what was thrown to what caused it; a name with several addresses fails once for each.
type Link = { readonly code?: string; readonly message?: string; readonly syscall?: string };
function chainOf(error: unknown): readonly Link[] {
  if (!(error instanceof Error)) return [];
  const { cause, errors } = error as { cause?: unknown; errors?: readonly unknown[] };
  return [error as Link, ...chainOf(cause ?? errors?.[0])];
}
