// Partners over HTTP, as the sandbox role serves them: the port `Partners` for a URL.
//
// Promises: nothing but OutsideError is thrown, and its class says what may have happened. No
// connection = certainly nothing. 422 and 400 = the partner's own word on this one call. 503 = nothing
// done, partner away. 429 = slower. A 5xx marked as a repetition = the key is spent. A lost connection, any other
// status, an answer of another shape or size = it may have been done. Nothing is repeated here.
// Relies on node:http, at half the cost per call of fetch, with connections kept alive. How many calls
// run at once is the caller's bound; how long one may take is its signal's.

import { Agent, request as openHttp } from 'node:http';
import { request as openHttps, Agent as SecureAgent } from 'node:https';
import { urlToHttpOptions } from 'node:url';
import type { Static, TSchema } from 'typebox';
import { Compile } from 'typebox/compile';
import type { AuthorizeAnswer, Partners, Spent } from '../../flow/ports.ts';
import { parseMoment } from '../moments.ts';
import { carrierKeyWindowMs } from './carrier.ts';
import * as messages from './messages.ts';
import { providerKeyWindowMs } from './provider.ts';
import { broken, neverSent, refused, throttled, timedOut, unavailable, withoutEffect } from './troubles.ts';

type Reply = {
  readonly status: number;
  readonly retryAfter: string | undefined;
  readonly isRepeated: boolean;
  readonly body: string;
};

const isFault = Compile(messages.Fault);

function isSpent(answer: unknown): answer is Spent {
  return (answer as Partial<Spent>).outcome === 'spent';
}

function parse(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return undefined;
  }
}

// Delay in seconds alone is understood, however long it is (it is bounded where it is heeded); a date would need both
// clocks to agree.
function toRetryAfterMs(header: string | undefined): number | null {
  return header !== undefined && /^\d+$/.test(header)
    ? Math.min(Number(header) * 1_000, Number.MAX_SAFE_INTEGER)
    : null;
}

function toTrouble({ status, retryAfter, body }: Reply): Error {
  if (status === 429) return throttled(toRetryAfterMs(retryAfter));
  if (status === 503) return unavailable('The partner is not available.');
  const fault = parse(body);
  if (status >= 400 && status < 500 && isFault.Check(fault)) {
    return fault.retryable ? withoutEffect(fault.code, fault.message) : refused(fault.code, fault.message);
  }
  if (status >= 500) return broken('partner-broken', `The partner broke while it worked (status ${status}).`);
  return broken('malformed-answer', `The partner answered with status ${status}, which is not understood.`);
}

export function createHttpPartners({
  url,
  traceparent = () => null,
}: {
  readonly url: string;
  // Of the call that is being made (W3C Trace Context).
  readonly traceparent?: () => string | null;
}): Partners & { readonly close: () => void } {
  const base = new URL(url.endsWith('/') ? url : `${url}/`);
  const secure = base.protocol === 'https:';
  const agent = secure ? new SecureAgent({ keepAlive: true }) : new Agent({ keepAlive: true });

  function exchange(target: ReturnType<typeof urlToHttpOptions>, payload: string, signal: AbortSignal): Promise<Reply> {
    const { promise, resolve, reject } = Promise.withResolvers<Reply>();
    const trace = traceparent();
    const headers = {
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(payload),
      ...(trace === null ? {} : { traceparent: trace }),
    };
    const call = (secure ? openHttps : openHttp)({ ...target, method: 'POST', agent, signal, headers });

    // Until there is a connection the request has certainly not left this machine.
    let connected = false;
    call.once('socket', (socket) => {
      connected = !socket.connecting;
      if (!connected) socket.once(secure ? 'secureConnect' : 'connect', () => (connected = true));
    });
    call.on('error', (error) => {
      if (connected || signal.aborted) reject(broken('connection-lost', 'The connection to the partner broke.', error));
      else reject(unavailable('The partner cannot be reached.', error));
    });
    call.once('response', (response) => {
      const chunks: Buffer[] = [];
      let bytes = 0;
      response.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        chunks.push(chunk);
        if (bytes <= messages.maxAnswerBytes) return;
        reject(broken('malformed-answer', 'The answer of the partner is too large.'));
        response.destroy();
      });
      response.on('error', (error) => reject(broken('connection-lost', 'The answer of the partner broke off.', error)));
      response.once('end', () => {
        const status = response.statusCode ?? 0;
        resolve({
          status,
          retryAfter: response.headers['retry-after'],
          isRepeated: response.headers[messages.repeatedHeader] === 'true',
          body: Buffer.concat(chunks).toString('utf8'),
        });
      });
    });
    call.end(payload);
    return promise;
  }

  function asks<T extends TSchema>(path: string, schema: T) {
    const ask = asksUnderKey(path, schema);
    return async (...given: Parameters<typeof ask>): Promise<Static<T>> => {
      const answer = await ask(...given);
      if (!isSpent(answer)) return answer;
      throw broken('partner-broken', `The partner broke while it worked (${answer.code}).`);
    };
  }

  function asksUnderKey<T extends TSchema>(path: string, schema: T) {
    const expected = Compile(schema);
    const target = urlToHttpOptions(new URL(path.slice(1), base));
    return async (
      request: object,
      signal: AbortSignal,
      timeout = () => timedOut('success'),
    ): Promise<Static<T> | Spent> => {
      if (signal.aborted) throw neverSent();
      const payload = JSON.stringify(request);
      if (Buffer.byteLength(payload) > messages.maxRequestBytes) {
        throw refused('request-too-large', 'The request is larger than a partner takes.');
      }
      const reply = await exchange(target, payload, signal).catch((error: unknown) => {
        throw signal.aborted ? timeout() : error;
      });
      if (reply.status >= 500 && reply.isRepeated) return { outcome: 'spent', code: `status-${reply.status}` };
      if (reply.status !== 200) throw toTrouble(reply);
      const answer = parse(reply.body);
      if (expected.Check(answer)) return answer as Static<T>;
      throw broken('malformed-answer', 'The answer of the partner is not of the agreed shape.');
    };
  }

  const authorize = asksUnderKey(messages.paths.authorize, messages.AuthorizeAnswer);
  const findAuthorization = asks(messages.paths.findAuthorization, messages.AuthorizationFound);
  const voids = asks(messages.paths.void, messages.VoidAnswer);
  const book = asksUnderKey(messages.paths.book, messages.BookAnswer);
  const findBooking = asks(messages.paths.findBooking, messages.BookingFound);
  const recall = asks(messages.paths.recall, messages.RecallAnswer);
  const send = asks(messages.paths.send, messages.SendAnswer);

  // A leap second is a time of RFC 3339 and no Date.
  function toAuthorizeAnswer(answer: Static<typeof messages.AuthorizeAnswer>): AuthorizeAnswer {
    if (answer.outcome !== 'authorized') return answer;
    const expiresAt = parseMoment(answer.expiresAt);
    if (expiresAt !== null) return { ...answer, expiresAt };
    throw broken('malformed-answer', 'The partner answered with a time that is none.');
  }

  // Member by member: the sandbox refuses what it does not know, and an order's lines may carry more.
  return {
    payments: {
      keyWindowMs: providerKeyWindowMs,
      authorize: async ({ key, orderId, amount, currency, scenario, epoch }, signal) => {
        const request = { key, orderId, amount, currency, scenario, epoch };
        const answer = await authorize(request, signal, () => timedOut(scenario));
        return isSpent(answer) ? answer : toAuthorizeAnswer(answer);
      },
      void: ({ key, orderId }, signal) => voids({ key, orderId }, signal),
      lookup: async (key, signal) => {
        const { found } = await findAuthorization({ key }, signal);
        return found === null ? null : toAuthorizeAnswer(found);
      },
    },
    carrier: {
      keyWindowMs: carrierKeyWindowMs,
      book: ({ key, orderId, country, items }, signal) => {
        const lines = items.map(({ sku, quantity, unitPrice }) => ({ sku, quantity, unitPrice }));
        return book({ key, orderId, country, items: lines }, signal);
      },
      recall: ({ key, orderId }, signal) => recall({ key, orderId }, signal),
      lookup: async (key, signal) => (await findBooking({ key }, signal)).found,
    },
    mail: {
      send: async ({ key, orderId, kind, to, subject, text }, signal) => {
        await send({ key, orderId, kind, to, subject, text }, signal);
      },
    },
    close: () => agent.destroy(),
  };
}
