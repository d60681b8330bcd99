// What an answer of Elasticsearch, or none, means for a document.
//
// Promises: a cluster that is away, full or too busy costs no attempt, for the document is not to blame;
// what it refuses for the document's own sake is refused for good, and says why.

import { errors } from '@elastic/elasticsearch';
import { OutsideError, type Trouble } from '../../engine/ports.ts';

const shown = 300;
// Said with a 400, as if of the document: the index is closed, or the alias leads to two.
const ofTheIndex = /^(index_closed_exception|illegal_argument_exception: no write index is defined)/;

// Of one document, by its own status in the answer.
export function troubleOf(status: number, reason: string): Trouble {
  const said = `Elasticsearch answered ${status}: ${reason.slice(0, shown)}`;
  if (status === 429) return { class: 'throttled', code: 'search-busy', message: said, dependencyDown: false };
  // 401 and 403: the wrong user, or an index that is closed to writes for want of disk; a person mends it.
  if (status >= 500 || [401, 403, 404].includes(status) || ofTheIndex.test(reason)) {
    return { class: 'throttled', code: 'search-unavailable', message: said, dependencyDown: true };
  }
  return { class: 'non-retryable', code: 'document-refused', message: said, dependencyDown: false };
}

export function statusOf(error: unknown): number | null {
  return error instanceof errors.ResponseError ? (error.statusCode ?? null) : null;
}

// Of a whole call. A defect of ours stays what it is.
export function toOutside(error: unknown): unknown {
  if (!(error instanceof errors.ElasticsearchClientError)) return error;
  const status = statusOf(error);
  const trouble: Trouble =
    status === null
      ? { class: 'throttled', code: 'search-unreachable', message: error.message.slice(0, shown), dependencyDown: true }
      : troubleOf(status, error.message);
  return new OutsideError(trouble, { cause: error });
}
