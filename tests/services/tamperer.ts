// Stands between a client of SQS and the server, and makes the server fail in ways that it cannot be asked
// for: a part of a batch, or a right that is missing.

import { createServer } from 'node:http';
import { text } from 'node:stream/consumers';

type Entry = { readonly Id: string };
type Failed = { readonly Id: string | undefined; readonly Code: string; readonly SenderFault: boolean };
// Null lets the call pass; a code refuses it; a part of its entries fails.
export type Tamper = (
  call: string,
  body: { readonly Entries?: readonly Entry[] },
) => null | string | { readonly passed: readonly Entry[]; readonly failed: readonly Failed[] };

export async function startTamperer(endpoint: string, tamper: Tamper) {
  const server = createServer(async (request, response) => {
    const body = JSON.parse((await text(request)) || '{}');
    const call = String(request.headers['x-amz-target']).replace('AmazonSQS.', '');
    const verdict = tamper(call, body);
    const answer = (status: number, content: object) => {
      response.writeHead(status, { 'content-type': 'application/x-amz-json-1.0' }).end(JSON.stringify(content));
    };
    if (typeof verdict === 'string') return answer(403, { __type: `com.amazonaws.sqs#${verdict}`, message: verdict });
    const { 'x-amz-target': target, 'content-type': type, authorization } = request.headers;
    const headers = { 'x-amz-target': `${target}`, 'content-type': `${type}`, authorization: `${authorization}` };
    const sent = verdict === null ? body : { ...body, Entries: verdict.passed };
    const gone = new AbortController();
    response.on('close', () => gone.abort());
    try {
      const init = { method: 'POST', headers, body: JSON.stringify(sent), signal: gone.signal };
      const reply = await fetch(endpoint, init);
      const content = (await reply.json()) as { Failed?: unknown[] };
      if (verdict === null) return answer(reply.status, content);
      answer(reply.status, { ...content, Failed: [...(content.Failed ?? []), ...verdict.failed] });
    } catch {
      response.destroy();
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return {
    url: `http://127.0.0.1:${address.port}`,
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
