// How the sandbox says no: one document that its clients' adapters read (`messages.Fault`) and that a person who tries
// it by hand understands (RFC 9457).
//
// Promises: every error answer of the sandbox is made here; a direction that is not understood is told what one looks
// like.

import { STATUS_CODES } from 'node:http';
import type { FastifyReply } from 'fastify';
import type { OutsideError } from '../../engine/ports.ts';
import * as messages from './messages.ts';
import { acts, cuedCalls, weathers } from './stage.ts';

export function sendFault(reply: FastifyReply, status: number, fault: messages.Fault): FastifyReply {
  const { code, message } = fault;
  const document = {
    type: `urn:orderly:sandbox:${code}`,
    title: STATUS_CODES[status],
    status,
    detail: message,
    ...fault,
  };
  return (
    reply
      .code(status)
      .header('content-type', 'application/problem+json')
      // As bytes: to text fastify would add a charset, which this media type does not have.
      .send(Buffer.from(JSON.stringify(document)))
  );
}

export function sendTrouble(reply: FastifyReply, { trouble }: OutsideError): FastifyReply {
  const { code, message } = trouble;
  if (trouble.class === 'throttled') {
    reply.header('retry-after', String(Math.ceil((trouble.retryAfterMs ?? 0) / 1000)));
    return sendFault(reply, 429, { code, message, retryable: true });
  }
  if (trouble.class === 'unknown') return sendFault(reply, 500, { code, message, retryable: false });
  const retryable = trouble.class === 'retryable';
  return sendFault(reply, trouble.dependencyDown ? 503 : 422, { code, message, retryable });
}

// A failure that is kept is repeated as it was, and marked, as partners do who keep them.
export function orRepeated<A extends { readonly outcome: string }>(reply: FastifyReply, answer: A): A | FastifyReply {
  if (answer.outcome !== 'spent') return answer;
  const message = 'The partner broke while it worked, and repeats that for this key.';
  reply.header(messages.repeatedHeader, 'true');
  return sendFault(reply, 500, { code: 'partner-broken', message, retryable: false });
}

const listed = (words: readonly string[]) => words.join(', ');
// Two kinds, told apart by the member `call`; a validator would list the mistakes of both.
export const directionText =
  'A direction is JSON (content-type: application/json): the weather of partners, such as {"payments":"down"} or {"all":"up"} ' +
  `(${listed(weathers)}; with retryAfterSeconds), or a cue, such as {"call":"authorize","act":"hang-after"} ` +
  `(calls: ${listed(cuedCalls)}; acts: ${listed(acts)}; with orderId, country, times).`;
