// What node lets pass although HTTP does not: refused before anything of the request is believed.
//
// Promises: a request that two readers could read in two ways is refused, with the name of what is at fault.
// Sources: RFC 9110, 5.3 and 8.3 (one media type); RFC 9112, 6.1 (a coding that is not known: 501); RFC 3986, 2.1
// and 2.5 (percent-encoded UTF-8).

import type { IncomingMessage } from 'node:http';
import { invalidParameter, ProblemError } from './problems.ts';

export function framingMistake({ rawHeaders, headers, url = '' }: IncomingMessage): ProblemError | null {
  const coding = headers['transfer-encoding'];
  if (coding !== undefined && coding.toLowerCase() !== 'chunked') {
    // Where the body ends is not known, so nothing more is read from the connection.
    const close = { headers: { connection: 'close' } };
    return new ProblemError('not-implemented', 'The only Transfer-Encoding that is understood is chunked.', close);
  }
  if (headers['content-type'] !== undefined && hasOtherType(rawHeaders)) {
    return invalidParameter({ in: 'header', name: 'Content-Type', detail: 'must be there once' });
  }
  const query = url.indexOf('?');
  return query !== -1 && url.includes('%', query) ? badEscape(url.slice(query + 1)) : null;
}

// Node keeps the first and drops the others.
function hasOtherType(rawHeaders: readonly string[]): boolean {
  const types = rawHeaders.filter((_, index) => index % 2 === 1 && isContentType(rawHeaders[index - 1]));
  return types.some((type) => type !== types[0]);
}

const isContentType = (name = '') => name.length === 12 && name.toLowerCase() === 'content-type';

function badEscape(query: string): ProblemError | null {
  if (isEncoded(query)) return null;
  const [name = ''] =
    query
      .split('&')
      .find((pair) => !isEncoded(pair))
      ?.split('=') ?? [];
  const detail = 'must be percent-encoded UTF-8; a percent sign itself is %25';
  return invalidParameter({ in: 'query', name, detail });
}

function isEncoded(text: string): boolean {
  try {
    decodeURIComponent(text);
    return true;
  } catch {
    return false;
  }
}
