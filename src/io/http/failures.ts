// From whatever was thrown, by whomever, to the problem document that answers it.
//
// Promises: an error that nobody foresaw becomes `internal-error`, is logged with its cause and tells the
// caller nothing but the correlation id to ask about; what node refuses before a request exists is
// answered in the same form.

import { Buffer } from 'node:buffer';
import { type ServerResponse, STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { type Log, UnavailableError } from '../../engine/ports.ts';
import type { TurnedAway } from '../gate.ts';
import { safeguards } from './headers.ts';
import {
  invalidParameter,
  type ProblemCode,
  ProblemError,
  problemMediaType,
  statusOf,
  toDocument,
  unavailable,
} from './problems.ts';
import { idsOf, traceIdOf } from './traced.ts';

// What fastify itself refuses, in our words.
const foreseen: ReadonlyMap<unknown, readonly [code: ProblemCode, detail: string]> = new Map([
  ['FST_ERR_CTP_BODY_TOO_LARGE', ['body-too-large', 'The body may have at most 64 KiB (65536 bytes).']],
  ['FST_ERR_BAD_URL', ['bad-request', 'The path is not valid percent-encoded UTF-8.']],
  ['FST_ERR_CTP_INVALID_CONTENT_LENGTH', ['bad-request', 'The body is not as long as Content-Length says.']],
]);

export function toProblem(error: unknown, request: FastifyRequest, log: Log): ProblemError {
  if (error instanceof ProblemError) return error;
  if (error instanceof UnavailableError) {
    const stored = isRead(request) ? 'read' : error.stored;
    if (stored === 'unknown') log.warn({ err: error, ...idsOf(request) }, 'outcome unknown');
    return unavailable(stored, error.retryAfterMs, repetition(request));
  }
  const { code, statusCode } = (error ?? {}) as { code?: unknown; statusCode?: unknown };
  const known = foreseen.get(code);
  if (known !== undefined) return new ProblemError(...known);
  // Refused by fastify or a plugin for a reason of the client's, such as a connection that broke off.
  if (statusCode === 404) return new ProblemError('not-found', 'There is nothing at this address.');
  if (typeof statusCode === 'number' && statusCode >= 400 && statusCode < 500) {
    return new ProblemError('bad-request', 'The request cannot be read.');
  }
  const { method, routeOptions } = request;
  log.error({ err: error, method, route: routeOptions.url, ...idsOf(request) }, 'request failed unexpectedly');
  return new ProblemError('internal-error', 'The error is recorded under the correlation id of this answer.');
}

export function toRefusal({ reason, detail }: TurnedAway): ProblemError {
  if (reason === 'host-repeated') return invalidParameter({ in: 'header', name: 'Host', detail });
  return new ProblemError(reason, detail);
}

// It stores nothing, however it ends.
export function isRead({ method }: { readonly method: string }): boolean {
  return method === 'GET' || method === 'HEAD';
}

function repetition({ routeOptions, headers }: FastifyRequest): string {
  if (routeOptions.url !== '/orders') return 'Repeat the request; it takes effect once.';
  return headers['idempotency-key'] === undefined
    ? 'Repeating it without an Idempotency-Key may place a second order.'
    : 'Repeat the request with the same Idempotency-Key; the order is placed once.';
}

export function answerProblem(problem: ProblemError, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  return (
    reply
      .code(statusOf(problem.code))
      .headers(problem.headers)
      .header('x-correlation-id', request.id)
      .header('content-type', problemMediaType)
      // As bytes: to text fastify would add a charset, which this media type does not have.
      .send(Buffer.from(toDocument(problem, request.id, traceIdOf(request))))
  );
}

// What node's parser refuses has no request and no response, only a connection.
export function answerClientError(error: Error & { code?: string }, socket: Duplex, correlationId: string): void {
  if (error.code === 'ECONNRESET' || socket.destroyed) return;
  if (socket.writable) {
    const problem = toClientProblem(error.code);
    const status = statusOf(problem.code);
    const document = toDocument(problem, correlationId, null);
    const headers = Object.entries(rawHeaders(document, correlationId)).map(([name, value]) => `${name}: ${value}\r\n`);
    socket.write(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${headers.join('')}\r\n${document}`);
  }
  socket.destroy(error);
}

function toClientProblem(code: string | undefined): ProblemError {
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') {
    return new ProblemError('request-timeout', 'The request did not arrive completely in time.');
  }
  if (code === 'HPE_HEADER_OVERFLOW') {
    return new ProblemError('headers-too-large', 'Request line and headers may have at most 16 KiB together.');
  }
  return new ProblemError('bad-request', 'This is not a well-formed HTTP/1.1 request.');
}

export function answerExpectation(response: ServerResponse, correlationId: string): void {
  const problem = new ProblemError('expectation-failed', 'Only Expect: 100-continue can be met.');
  const document = toDocument(problem, correlationId, null);
  response.writeHead(statusOf(problem.code), rawHeaders(document, correlationId)).end(document);
}

function rawHeaders(document: string, correlationId: string): Record<string, string> {
  return {
    ...safeguards,
    'content-type': problemMediaType,
    'content-length': String(Buffer.byteLength(document)),
    'x-correlation-id': correlationId,
    connection: 'close',
  };
}
