// The business saying no.
//
// Promises: a refusal is a value with a stable code, never an exception: the caller must look at it, and
// the HTTP layer turns the code into a status in one table.

export const refusalCodes = [
  'order-not-found',
  'order-already-processed',
  'order-already-canceled',
  'order-not-failed',
  'order-failed',
  'order-in-progress',
  'order-exists',
  'no-dead-letter',
  'earlier-letter-open',
  'order-needs-cancel',
  'not-correctable',
  'no-replay',
  'replay-over',
  'too-many-pauses',
  'pause-over',
  'idempotency-key-reused',
  'invalid-order',
] as const;
export type RefusalCode = (typeof refusalCodes)[number];

export type Refusal = {
  readonly refused: RefusalCode;
  readonly detail: string;
  // Where in the input, as a URI-fragment JSON Pointer (RFC 6901); only for `invalid-order`.
  readonly pointer?: string;
};

export function refuse(refused: RefusalCode, detail: string, pointer?: string): Refusal {
  return pointer === undefined ? { refused, detail } : { refused, detail, pointer };
}

export function isRefusal(value: unknown): value is Refusal {
  return typeof value === 'object' && value !== null && 'refused' in value;
}
