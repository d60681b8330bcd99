// Reads the body of a request: JSON in UTF-8, or nothing.
//
// Promises: an empty body is nothing, under any media type; a body of another media type, in another
// character set or compressed is refused with 415; bytes that are not UTF-8 are refused instead of being
// repaired, because a repaired text would no longer be what the client sent, and so is a member that stands
// twice. Members named __proto__ stay ordinary members here, and the schemas refuse them by name.

import { type Buffer, isUtf8 } from 'node:buffer';
import type { IncomingHttpHeaders } from 'node:http';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { ProblemError } from './problems.ts';
import { parseStrictly } from './strict-json.ts';

const json = 'application/json';
// What a form of a page sends; one route takes it.
export const formType = 'application/x-www-form-urlencoded';
const jsonWithParameters = /^application\/json\s*(?:;|$)/i;
const foreignCharset = /;\s*charset\s*=(?!\s*"?utf-?8"?\s*(?:;|$))/i;

// Reduces what clients write in Content-Type to what matters: ours, or not. Without this, fastify answers
// an odd header with 415 even where there is no body to have a type.
export function settleContentType(headers: IncomingHttpHeaders): void {
  const given = headers['content-type'];
  if (given === json || given === formType || given === undefined) return;
  if (jsonWithParameters.test(given) && !foreignCharset.test(given)) headers['content-type'] = json;
  else delete headers['content-type'];
}

export function readJsonBodies(app: FastifyInstance): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser<Buffer>(json, { parseAs: 'buffer' }, (request, body, done) => {
    done(null, toJson(request, body));
  });
  app.addContentTypeParser<Buffer>('*', { parseAs: 'buffer' }, (_request, body, done) => {
    if (body.length > 0) throw otherMediaType();
    done(null, undefined);
  });
}

function toJson({ headers }: FastifyRequest, body: Buffer): unknown {
  if (body.length === 0) return undefined;
  const encoding = headers['content-encoding'];
  if (encoding !== undefined && encoding !== 'identity') throw otherMediaType();
  if (!isUtf8(body)) throw new ProblemError('invalid-json', 'The body is not UTF-8, so it is not JSON.');
  try {
    return parseStrictly(body.toString('utf8'));
  } catch (error) {
    if (error instanceof ProblemError) throw error;
    throw new ProblemError('invalid-json', `The body is not JSON: ${(error as Error).message}.`);
  }
}

function otherMediaType(): ProblemError {
  return new ProblemError('unsupported-media-type', `The body must be ${json} in UTF-8, not compressed.`);
}
