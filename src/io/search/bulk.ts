// Writing documents: as few calls as the server takes, an answer per document.
//
// Promises: the cluster itself refuses what is older than what it has; a call that is too large for the server, or
// for a proxy before it, is halved, and the size is remembered; a document too large by itself is refused alone.
// Process dies between two calls: the documents are written again, which changes nothing.

import type { Client } from '@elastic/elasticsearch';
import type { IndexAnswer, OrderDocument } from '../../flow/projections/search-ports.ts';
import { oddAnswer, readItems } from './answers.ts';
import { statusOf, troubleOf } from './troubles.ts';

// Far below what a server takes in one request (100 MB), and enough that a request carries many documents.
const bulkBytesMax = 8_000_000;

// An alias that is gone must not become an index of that name.
export type BulkTarget = { readonly index: string; readonly require_alias: boolean };
export type WriteDocuments = (
  target: BulkTarget,
  documents: readonly OrderDocument[],
  signal: AbortSignal,
) => Promise<IndexAnswer[]>;

// A document as the server reads it: what to do, and with what.
type Written = { readonly id: string; readonly operations: readonly [string, string]; readonly bytes: number };

export function createBulk(client: Client): WriteDocuments {
  // What a call may hold; smaller once a larger one was refused.
  let bytesMax = bulkBytesMax;

  async function write(target: BulkTarget, part: readonly Written[], signal: AbortSignal): Promise<IndexAnswer[]> {
    try {
      const operations = part.flatMap((one) => one.operations);
      const { items } = readItems(await client.bulk({ ...target, operations }, { signal }));
      if (items.length !== part.length || items.some(({ index }, nth) => index._id !== part[nth]?.id))
        throw oddAnswer();
      return items.map(({ index: { status, error } }) => {
        if (status < 300) return 'stored';
        return status === 409 ? 'older' : troubleOf(status, `${error?.type}: ${error?.reason}`);
      });
    } catch (error) {
      if (statusOf(error) !== 413) throw error;
      if (part.length === 1) return [troubleOf(413, 'the document is too large for it, or for a proxy before it')];
      bytesMax = Math.min(bytesMax, Math.ceil(part.reduce((sum, { bytes }) => sum + bytes, 0) / 2));
      const middle = part.length >> 1;
      const first = await write(target, part.slice(0, middle), signal);
      return [...first, ...(await write(target, part.slice(middle), signal))];
    }
  }

  return async (target, documents, signal) => {
    const answers: IndexAnswer[] = [];
    let part: Written[] = [];
    let bytes = 0;
    for (const one of documents.map(written)) {
      if (part.length > 0 && bytes + one.bytes > bytesMax) {
        answers.push(...(await write(target, part, signal)));
        [part, bytes] = [[], 0];
      }
      part.push(one);
      bytes += one.bytes;
    }
    if (part.length > 0) answers.push(...(await write(target, part, signal)));
    return answers;
  };
}

function written(document: OrderDocument): Written {
  const { id, version } = document;
  const action = JSON.stringify({ index: { _id: id, version, version_type: 'external' } });
  const text = JSON.stringify(document);
  return { id, operations: [action, text], bytes: Buffer.byteLength(action) + Buffer.byteLength(text) + 2 };
}
