// What an answer of Elasticsearch, or none, means for a document.
//
// Promises: a cluster that is away, full, too busy or of another version costs no attempt, for the document is not to
// blame; what it refuses for the document's own sake is refused for good; either says why.

import { errors } from '@elastic/elasticsearch';
import { OutsideError, type Trouble } from '../../engine/ports.ts';

const shown = 300;
// Said with a 400, as if of the document: the index is closed, or the alias leads to two.
const ofTheIndex = /^(index_closed_exception|illegal_argument_exception: no write index is defined)/;

// Of one document, by its own status in the answer.
export function troubleOf(status: number, reason: string): Trouble {
  const message = `Elasticsearch answered ${status}: ${reason.slice(0, shown)}`;
  // 401 and 403: the wrong user, or an index that is closed to writes for want of disk; a person mends it.
  if (status === 429 || status >= 500 || [401, 403, 404].includes(status) || ofTheIndex.test(reason)) {
    return troubleOfCall(status, message);
  }
  return { class: 'non-retryable', code: 'document-refused', message, dependencyDown: false };
}

// Of a whole call: nothing that is said with it is about a document. A defect of ours stays what it is.
export function toOutside(error: unknown): unknown {
  if (!(error instanceof errors.ElasticsearchClientError)) return error;
  return new OutsideError(troubleOfCall(statusOf(error), saidBy(error)), { cause: error });
}

function troubleOfCall(status: number | null, message: string): Trouble {
  if (status === 429) return { class: 'throttled', code: 'search-busy', message, dependencyDown: false };
  const code = status === null ? 'search-unreachable' : 'search-unavailable';
  return { class: 'throttled', code, message, dependencyDown: true };
}

export function statusOf(error: unknown): number | null {
  return error instanceof errors.ResponseError ? (error.meta.statusCode ?? null) : null;
}

// There is no index of that name; a proxy's 404 says nothing about it.
export function isIndexMissing(error: unknown): boolean {
  return error instanceof errors.ElasticsearchClientError && causeOf(error)?.type === 'index_not_found_exception';
}

// What Elasticsearch itself says of an error; null where another spoke.
function causeOf(error: errors.ElasticsearchClientError): { type?: unknown; reason?: unknown } | null {
  if (!(error instanceof errors.ResponseError)) return null;
  const body = error.body as { error?: { type?: unknown; reason?: unknown } | null } | null | undefined;
  return typeof body?.error === 'object' ? body.error : null;
}

function saidBy(error: errors.ElasticsearchClientError): string {
  const cause = causeOf(error);
  const text = cause === null ? error.message : `${cause.type}: ${cause.reason}`;
  const said = text.replaceAll(/\s+/g, ' ').trim().slice(0, shown) || 'nothing more';
  const status = statusOf(error);
  return status === null ? said : `Elasticsearch, or what stands before it, answered ${status}: ${said}`;
}
