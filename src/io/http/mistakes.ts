// From the validator's errors to mistakes that a person can act on: where, what, and what is allowed.
//
// Promises: every mistake of the part that was checked is listed, one per place, up to a bound, so that a
// hostile body of 64 KiB cannot ask for an answer of megabytes. The place of a missing field is where it
// should be, that of an unknown field is where it is.
// Relies on the validator running with `verbose`, which puts the violated schema beside each error.

import type { FastifySchemaValidationError } from 'fastify';
import { formatTexts } from './dates.ts';
import { type Mistake, ProblemError } from './problems.ts';
import { patternTexts, uuidPattern } from './requests.ts';

// Nobody mends more than this at once.
const listedMax = 50;

type Violation = FastifySchemaValidationError & { readonly parentSchema?: Record<string, unknown> };
type Part = 'body' | 'params' | 'querystring' | 'headers';

const partNames = { params: 'path', querystring: 'query', headers: 'header' } as const;
// The validator sees header names in lower case; we speak of them as they are written.
const headerNames: ReadonlyMap<string, string> = new Map([
  ['idempotency-key', 'Idempotency-Key'],
  ['x-correlation-id', 'X-Correlation-Id'],
]);

export function toInvalid(violations: readonly FastifySchemaValidationError[], part: string): ProblemError {
  const found = new Map<string, Mistake>();
  for (const violation of violations as readonly Violation[]) {
    const path = placeOf(violation);
    if (found.has(path)) continue;
    if (found.size === listedMax) break;
    found.set(path, toMistake(path, describe(violation), part as Part));
  }
  const errors = [...found.values()];
  const [code, subject] =
    part === 'body' ? (['invalid-body', 'The body'] as const) : (['invalid-parameter', 'The request'] as const);
  const count = errors.length === 1 ? 'one mistake' : `${errors.length} mistakes`;
  const counted = errors.length === listedMax ? `${listedMax} mistakes or more` : count;
  return new ProblemError(code, `${subject} has ${counted}. See errors.`, { errors });
}

function toMistake(path: string, detail: string, part: Part): Mistake {
  if (part === 'body') return { pointer: toPointer(path), detail };
  const name = path.slice(1).replaceAll('~1', '/').replaceAll('~0', '~');
  return { in: partNames[part], name: headerNames.get(name) ?? name, detail };
}

// A JSON Pointer (RFC 6901) as a URI fragment: UTF-8, percent-encoded but for what a fragment may hold.
export function toPointer(path: string): string {
  return `#${path
    .split('/')
    .map((token) => encodeURIComponent(token.toWellFormed()))
    .join('/')}`;
}

function placeOf(violation: Violation): string {
  const { missingProperty, additionalProperty } = violation.params;
  const child = missingProperty ?? additionalProperty;
  if (typeof child !== 'string') return violation.instancePath;
  return `${violation.instancePath}/${toToken(child)}`;
}

// A name as a part of a JSON Pointer.
export function toToken(name: string): string {
  return name.replaceAll('~', '~0').replaceAll('/', '~1');
}

function describe({ keyword, params, parentSchema, message }: Violation): string {
  switch (keyword) {
    case 'required':
      return 'is required';
    case 'additionalProperties': {
      const known = Object.keys((parentSchema?.properties as object | undefined) ?? {});
      return known.length === 0 ? 'is unknown; nothing is allowed here' : `is unknown; allowed are ${known.join(', ')}`;
    }
    case 'type':
      return `must be ${[params.type].flat().map(withArticle).join(' or ')}`;
    case 'enum':
      return `must be one of ${(params.allowedValues as unknown[]).join(', ')}`;
    case 'minimum':
    case 'maximum':
      return `must be ${withArticle('integer')} from ${parentSchema?.minimum} to ${parentSchema?.maximum}`;
    case 'minLength':
    case 'maxLength':
      return `must have ${parentSchema?.minLength ?? 0} to ${parentSchema?.maxLength} characters`;
    case 'minItems':
    case 'maxItems':
      return `must have ${parentSchema?.minItems} to ${parentSchema?.maxItems} entries`;
    case 'format':
      if (params.format === 'uuid') return patternTexts[uuidPattern] ?? '';
      return formatTexts[params.format as string] ?? `must be a ${params.format}`;
    case 'pattern':
      return patternTexts[params.pattern as string] ?? `must match ${params.pattern}`;
    default:
      return message ?? 'is not valid';
  }
}

function withArticle(type: unknown): string {
  if (type === 'null') return 'null';
  return type === 'integer' ? 'a whole number' : type === 'array' || type === 'object' ? `an ${type}` : `a ${type}`;
}
