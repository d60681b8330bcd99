// What an answer of a partner may hold, whichever adapter brought it.
//
// Promises: what passes can be stored, published and shown: ids and codes are visible ASCII of bounded length, times
// lie in the years that every store has. Anything else is `malformed-answer`, an unknown outcome: the partner may
// have done what it tells of so oddly. Not the partner is ill then, but one answer, so no breaker hears of it.

import { OutsideError, type Trouble } from '../../engine/ports.ts';

const idLengthMax = 200;
const codeLengthMax = 100;
const messageLengthMax = 2_000;

type Check = { readonly holds: (value: unknown) => boolean; readonly asked: string };
const visible = (lengthMax: number): Check => ({
  holds: (value) => typeof value === 'string' && value.length <= lengthMax && /^[!-~]+$/.test(value),
  asked: `1 to ${lengthMax} visible ASCII characters`,
});
const id = visible(idLengthMax);
const code = visible(codeLengthMax);
const time: Check = {
  // False of what is no moment, too.
  holds: (value) => value instanceof Date && value >= firstTime && value <= lastTime,
  asked: 'a time in the years 1 to 9999',
};
const firstTime = new Date('0001-01-01T00:00:00.000Z');
const lastTime = new Date('9999-12-31T23:59:59.999Z');

// By call, the outcomes and what comes with each. What is not named here is not read.
type Shapes = Readonly<Record<string, Readonly<Record<string, Check>>>>;
const authorization: Shapes = {
  authorized: { authorizationId: id, expiresAt: time },
  declined: { code },
  closed: {},
};
const booking: Shapes = { booked: { bookingId: id }, rejected: { code }, closed: {} };
const shapes = {
  authorize: { ...authorization, spent: { code } },
  findAuthorization: authorization,
  void: { voided: { authorizationId: id }, 'nothing-held': {}, refused: { authorizationId: id, code } },
  book: { ...booking, spent: { code } },
  findBooking: booking,
  recall: { recalled: { bookingId: id }, 'nothing-booked': {}, refused: { bookingId: id, code } },
} satisfies Record<string, Shapes>;
export type AnsweringCall = keyof typeof shapes;

// A lookup that finds nothing answers null.
export function assertAnswer(call: AnsweringCall, answer: { readonly outcome: string } | null): void {
  if (answer === null) return;
  const fields = (shapes[call] as Shapes)[answer.outcome];
  if (fields === undefined) throw malformed('an outcome that is not agreed');
  for (const [field, { holds, asked }] of Object.entries(fields)) {
    const value = (answer as unknown as Record<string, unknown>)[field];
    if (!holds(value)) throw malformed(`a field ${field} that is not ${asked}`);
  }
}

function malformed(what: string): OutsideError {
  const message = `the partner answered with ${what}; it may have acted`;
  return new OutsideError({ class: 'unknown', code: 'malformed-answer', message, dependencyDown: false });
}

// A failure in the partner's own words becomes one line that can be stored and shown.
export function tidied(trouble: Trouble): Trouble {
  const { retryAfterMs, ...rest } = trouble;
  const isDelay = retryAfterMs !== undefined && Number.isFinite(retryAfterMs) && retryAfterMs >= 0;
  return {
    ...rest,
    code: code.holds(trouble.code) ? trouble.code : 'partner-failed',
    message: trouble.message
      .slice(0, messageLengthMax)
      .toWellFormed()
      .replace(/[\p{Cc}\p{Zl}\p{Zp}]+/gu, ' '),
    ...(isDelay ? { retryAfterMs } : {}),
  };
}
