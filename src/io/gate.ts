// Keeps web pages that a person happens to have open away from an instance that listens on the same machine or
// network: by the name under which it was addressed (DNS rebinding), and by what the browser says of the page
// that asks (cross-site requests).
//
// Promises: programs, which send neither Origin nor Sec-Fetch-Site, meet the check of the name alone. Nothing
// is stored for whoever is turned away. It does not tell people apart; see docs/security.md.
// Sources: RFC 9112, 3.2 (one Host); RFC 9110, 15.5.20 (421); Fetch Metadata (W3C), Origin (WHATWG Fetch).

import type { IncomingMessage } from 'node:http';
import { isLoopback } from './loopback.ts';

export type TurnedAway = {
  readonly reason: 'host-repeated' | 'misdirected' | 'cross-site';
  // A sentence for whoever asked.
  readonly detail: string;
};
export type Gate = (request: Pick<IncomingMessage, 'method' | 'headers' | 'rawHeaders'>) => TurnedAway | null;

const safeMethods = ['GET', 'HEAD', 'OPTIONS'];

// `allowedHosts`: further names without ports; on another address than loopback none = any name is right.
export function createGate(listening: { readonly host: string; readonly allowedHosts: readonly string[] }): Gate {
  const isLocal = isLoopback(listening.host);
  const allowed = new Set(listening.allowedHosts.map((name) => name.toLowerCase()));
  const isRightName = (name: string) =>
    isLoopback(name) || allowed.has(name) || (!isLocal && (allowed.size === 0 || isAddress(name)));

  function mistakeInHost(host: string | undefined, rawHeaders: readonly string[]): TurnedAway | null {
    const hosts = rawHeaders.filter((name, index) => index % 2 === 0 && name.toLowerCase() === 'host').length;
    if (hosts > 1) return { reason: 'host-repeated', detail: 'must be there once' };
    // Where there must be one it is asked for elsewhere; a browser always sends it.
    if (host === undefined || isRightName(nameOf(host))) return null;
    const name = JSON.stringify(nameOf(host).slice(0, 80));
    return { reason: 'misdirected', detail: `This service is not known as ${name}; ALLOWED_HOSTS may name it.` };
  }

  function isFromElsewhere({ origin, host = '', 'sec-fetch-site': site }: IncomingMessage['headers']): boolean {
    if (site === 'cross-site') return true;
    if (origin === undefined) return false;
    const from = URL.parse(origin);
    if (from === null) return true;
    // The same host and port, or a name that is ours behind a proxy which writes another Host.
    const own = URL.parse(`${from.protocol}//${host}`);
    return from.host !== own?.host && !allowed.has(from.hostname);
  }

  return ({ method = '', headers, rawHeaders }) => {
    const mistake = mistakeInHost(headers.host, rawHeaders);
    if (mistake !== null || safeMethods.includes(method) || !isFromElsewhere(headers)) return mistake;
    return { reason: 'cross-site', detail: 'A page of another origin may not change anything here.' };
  };
}

// Without its port.
const nameOf = (host: string) => host.toLowerCase().replace(/:\d*$/, '');
// A page can have a name point anywhere, but not an address: probes may use it.
const isAddress = (name: string) => /^\d+\.\d+\.\d+\.\d+$/.test(name) || /^\[[\da-f:.]+\]$/.test(name);
