// What our request headers may look like, and how they are read: pure functions of the received text.
//
// Promises: a header sent twice is never mistaken for one; node joins repetitions by a comma and a
// blank, and none of the patterns admits a blank. The patterns are part of the schemas, so that the
// published document and the check are the same thing.

// 1 to 128 visible ASCII characters.
export const correlationIdPattern = '^[!-~]{1,128}$';
const correlationId = new RegExp(correlationIdPattern);

// 1 to 255 visible ASCII characters, bare or as a structured-field string (RFC 8941, 3.3.3), whose quotes
// and escapes do not count. A bare key cannot begin with a quote: that would be a string left open.
export const idempotencyKeyPattern = '^(?:[!#-~][!-~]{0,254}|"(?:[!#-\\[\\]-~]|\\\\["\\\\]){1,255}")$';

// On every answer: what it holds is for whoever asked, as what it says it is, and not inside of another page.
export const safeguards = {
  'cache-control': 'no-store',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
} as const;

export function isCorrelationId(value: string | string[] | undefined): value is string {
  return typeof value === 'string' && correlationId.test(value);
}

// Expects what idempotencyKeyPattern admits; "abc" and abc are the same key.
export function parseIdempotencyKey(value: string | string[] | undefined): string | null {
  if (typeof value !== 'string') return null;
  return value.startsWith('"') ? value.slice(1, -1).replace(/\\(["\\])/g, '$1') : value;
}

const traceparent = /^(?!ff)([0-9a-f]{2})-((?!0{32})[0-9a-f]{32})-((?!0{16})[0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;

// W3C Trace Context: what is not valid is ignored, never refused; a later version is read as 00, by its
// first four fields.
export function parseTraceparent(
  value: string | string[] | undefined,
): { readonly traceparent: string; readonly traceId: string } | null {
  if (typeof value !== 'string') return null;
  const [, version, traceId, parentId, flags, rest] = traceparent.exec(value) ?? [];
  if (traceId === undefined || (version === '00' && rest !== undefined)) return null;
  return { traceparent: `00-${traceId}-${parentId}-${flags}`, traceId };
}
