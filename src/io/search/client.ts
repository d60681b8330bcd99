// The connection to Elasticsearch: its own client, with bounds on every answer.
//
// Promises: a call has ended within `answerMsMax`, the last byte of its answer included; an answer of more than
// `answerBytesMax` is not taken into memory, nor is a compressed one: we ask for none, and a small one may unpack to
// gigabytes. No call is repeated here: who asked does that, and knows for how long.

import { Client, errors, type TransportRequestOptions } from '@elastic/elasticsearch';
import type { System } from '../../engine/ports.ts';

// A person waits for a page; a document's own bound is its step's.
const answerMsMax = 5_000;
// A page of orders takes 20 KB, the answer to a thousand documents some 300 KB.
const answerBytesMax = 4_000_000;

export function connectClient(url: string, system: Pick<System, 'after'>): Client {
  const client = new Client({
    node: url,
    maxRetries: 0,
    requestTimeout: answerMsMax,
    maxResponseSize: answerBytesMax,
    maxCompressedResponseSize: 0,
    name: 'orderly',
  });
  const { transport } = client;
  // The client's own bound ends with the headers; a server that then sends a byte per second would hold the call.
  const send = transport.request.bind(transport) as (
    params: unknown,
    options: TransportRequestOptions,
  ) => Promise<unknown>;
  const sendWithin = async (params: unknown, options: TransportRequestOptions = {}) => {
    const late = new AbortController();
    const timer = system.after(answerMsMax, () => late.abort());
    const signals = options.signal === undefined ? [late.signal] : [options.signal, late.signal];
    try {
      return await send(params, { ...options, signal: AbortSignal.any(signals) });
    } catch (error) {
      if (!late.signal.aborted) throw error;
      throw new errors.TimeoutError(`no complete answer within ${answerMsMax} ms`);
    } finally {
      timer.cancel();
    }
  };
  transport.request = sendWithin as typeof transport.request;
  return client;
}
