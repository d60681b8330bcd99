// Which names and addresses are this machine's own.
//
// Promises: pure; a name that a name server may answer for is never one of them but `localhost`, which
// RFC 6761 (6.3) keeps for the machine itself.

import { isIPv4 } from 'node:net';

// As in a URL or a setting: with or without the brackets of an IPv6 address.
export function isLoopback(host: string): boolean {
  const name = host.toLowerCase().replace(/^\[|\]$/g, '');
  if (name === 'localhost' || name === '::1') return true;
  const address = name.replace(/^::ffff:/, '');
  return isIPv4(address) && address.startsWith('127.');
}
