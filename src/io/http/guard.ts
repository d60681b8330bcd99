// Who may ask: operators show a token, as a bearer (RFC 6750) or in a session that the login form gave their browser.
//
// Promises: every route asks but the public ones below, so that a new one is guarded unless it is named here; tokens
// and signatures are compared in constant time. A session is a signed cookie, its key made from the token: it survives
// a restart, is right in every process, and ends when the token is changed. An address that failed often is not listened
// to for the rest of the minute, but for its sessions, which nobody can guess. No tokens = nobody is asked.

import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { Log, System } from '../../engine/ports.ts';
import { ProblemError } from './problems.ts';

export type Operator = { readonly name: string; readonly token: string };
export type Session = { readonly operator: string; readonly expiresAt: Date };

export type Guard = {
  readonly asks: boolean;
  // Who asks; null where nobody need say so. Throws a problem where it is nobody who may.
  readonly admit: (request: IncomingMessage, route: string | undefined) => string | null;
  // A session for the owner of the token; null = it is nobody's. Throws where the address has failed too often.
  readonly login: (request: IncomingMessage, token: string) => { readonly cookie: string } | null;
  readonly session: (request: IncomingMessage) => Session | null;
};

// For whoever places and follows orders, for probes, and for the way in.
const publicRoutes = /^\/(?:orders(?:\/.*)?|healthz|readyz|login|logout|session)?$/;
export const isPublic = (route: string) => publicRoutes.test(route);

export const sessionCookie = 'orderly_session';
// A working day; the form is filled in again after it.
const sessionMs = 12 * 3_600_000;
// Slips of the hand are fewer; a machine that guesses gets nowhere at this pace.
const failuresMax = 10;
const windowMs = 60_000;
// Addresses that are remembered: an attacker of more has a minute each, and tokens are long.
const addressesMax = 10_000;
const cookieForm = /^([\w-]{1,32})\.([0-9a-z]{1,11})\.([\w-]{43})$/;

export function createGuard(options: {
  readonly operators: readonly Operator[];
  readonly system: Pick<System, 'now' | 'monotonicMs'>;
  readonly log: Log;
}): Guard {
  const { operators, system, log } = options;
  const asks = operators.length > 0;
  const failures = new Map<string, { count: number; readonly sinceMs: number }>();

  // Looks at all of them, whoever it is.
  function ownerOf(token: string): Operator | null {
    const given = digestOf(token);
    let owner: Operator | null = null;
    for (const operator of operators) if (timingSafeEqual(digestOf(operator.token), given)) owner = operator;
    return owner;
  }

  function failuresOf(address: string) {
    const known = failures.get(address);
    return known !== undefined && system.monotonicMs() - known.sinceMs < windowMs ? known : null;
  }

  function assertListenedTo(address: string): void {
    const known = failuresOf(address);
    if (known === null || known.count < failuresMax) return;
    const waitMs = windowMs - (system.monotonicMs() - known.sinceMs);
    throw new ProblemError('too-many-attempts', 'This address has shown too many wrong tokens. Wait, and try again.', {
      headers: { 'retry-after': String(Math.ceil(waitMs / 1_000)) },
    });
  }

  function failed(address: string, route: string): void {
    const known = failuresOf(address);
    if (known !== null) known.count += 1;
    else {
      failures.delete(address);
      const [oldest] = failures.keys();
      if (failures.size >= addressesMax && oldest !== undefined) failures.delete(oldest);
      failures.set(address, { count: 1, sinceMs: system.monotonicMs() });
    }
    log.warn({ address, route, failures: failuresOf(address)?.count }, 'a wrong operator token was shown');
  }

  function ownerOfShown({ socket }: IncomingMessage, token: string, route: string): Operator | null {
    const address = socket.remoteAddress ?? '';
    assertListenedTo(address);
    const owner = ownerOf(token);
    if (owner === null) failed(address, route);
    return owner;
  }

  function session({ headers }: IncomingMessage): Session | null {
    const cookies = (headers.cookie ?? '').split(';').map((one) => one.trim());
    const given = cookies.find((one) => one.startsWith(`${sessionCookie}=`))?.slice(sessionCookie.length + 1);
    const [, name = '', until = '', signature = ''] = cookieForm.exec(given ?? '') ?? [];
    const operator = operators.find((one) => one.name === name);
    if (operator === undefined) return null;
    const isRight = timingSafeEqual(Buffer.from(signatureOf(operator, until)), Buffer.from(signature));
    const expiresAt = new Date(Number.parseInt(until, 36));
    return isRight && expiresAt > system.now() ? { operator: name, expiresAt } : null;
  }

  return {
    asks,
    session,
    admit: (request, route = '') => {
      if (!asks) return null;
      const bearer = /^Bearer +([!-~]+) *$/i.exec(request.headers.authorization ?? '')?.[1];
      // Where nobody need show one, a wrong one is no news: others' gateways pass theirs on.
      if (bearer !== undefined && isPublic(route)) return ownerOf(bearer)?.name ?? null;
      if (bearer !== undefined) {
        const owner = ownerOfShown(request, bearer, route);
        if (owner === null) throw unauthorized('This is no operator token of this service.');
        return owner.name;
      }
      const found = session(request);
      if (found === null && isPublic(route)) return null;
      if (found === null) throw unauthorized('This is for operators: send a token as `Authorization: Bearer …`.');
      if (!isPublic(route) && !isOwnPage(request)) {
        throw new ProblemError('cross-site', 'A session is for the pages of this service; a program sends a token.');
      }
      return found.operator;
    },
    login: (request, token) => {
      const owner = ownerOfShown(request, token, '/login');
      if (owner === null) return null;
      const until = (system.now().getTime() + sessionMs).toString(36);
      log.info({ operator: owner.name, address: request.socket.remoteAddress }, 'an operator has logged in');
      return { cookie: toCookie(request, `${owner.name}.${until}.${signatureOf(owner, until)}`, sessionMs / 1_000) };
    },
  };
}

// SameSite keeps the pages of other sites from sending it; a page of this origin is told by what browsers say of every
// request that may change something (and the gate turns away what says another origin).
function isOwnPage({ method = '', headers }: IncomingMessage): boolean {
  if (method === 'GET' || method === 'HEAD') return true;
  return headers.origin !== undefined || headers['sec-fetch-site'] === 'same-origin';
}

// A browser that came by TLS, through whatever gateway, says so in its Origin.
export function toCookie({ headers }: IncomingMessage, value: string, maxAgeSeconds: number): string {
  const secure = headers.origin?.startsWith('https:') === true ? '; Secure' : '';
  return `${sessionCookie}=${value}; Path=/; Max-Age=${maxAgeSeconds}; HttpOnly; SameSite=Strict${secure}`;
}

const digestOf = (token: string) => createHash('sha256').update(token).digest();

// Another purpose has another key, and the token itself is in no signature.
function signatureOf({ name, token }: Operator, until: string): string {
  const key = createHmac('sha256', token).update('orderly session').digest();
  return createHmac('sha256', key).update(`${name}.${until}`).digest('base64url');
}

function unauthorized(detail: string): ProblemError {
  return new ProblemError('unauthorized', detail, { headers: { 'www-authenticate': 'Bearer realm="orderly"' } });
}
