// A balancer before several API processes, as a deployment has one: it asks each for /readyz, sends every
// request to the next one that is ready, keeps its connections, and repeats nothing. What fails, fails.

import { Agent, createServer, type IncomingMessage, request as openHttp } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';

export type Balancer = {
  readonly url: string;
  readonly add: (url: string) => void;
  readonly remove: (url: string) => void;
  readonly close: () => Promise<void>;
};

const probeEveryMs = 40;

export async function startBalancer(): Promise<Balancer> {
  const agent = new Agent({ keepAlive: true });
  // Whether each is ready.
  const backends = new Map<string, boolean>();
  let turn = 0;
  let isClosed = false;

  const server = createServer((request, response) => {
    const ready = [...backends].filter(([, isReady]) => isReady).map(([url]) => url);
    turn += 1;
    const backend = ready[turn % ready.length];
    if (backend === undefined) return void response.writeHead(502).end('nobody is ready');
    const { method = 'GET', url = '/', headers } = request;
    const forward = openHttp(`${backend}${url}`, { method, headers, agent }, (answer: IncomingMessage) => {
      const { connection: _, 'keep-alive': __, ...kept } = answer.headers;
      response.writeHead(answer.statusCode ?? 502, kept);
      answer.pipe(response);
    });
    forward.on('error', (error) => response.writeHead(502).end(String(error)));
    request.pipe(forward);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));

  const look = async () => {
    while (!isClosed) {
      await Promise.all(
        [...backends.keys()].map(async (url) => {
          const isReady = await fetch(`${url}/readyz`).then(
            ({ status }) => status === 200,
            () => false,
          );
          if (backends.has(url)) backends.set(url, isReady);
        }),
      );
      await pause(probeEveryMs);
    }
  };
  const looking = look();
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    add: (url) => void backends.set(url, true),
    remove: (url) => void backends.delete(url),
    close: async () => {
      isClosed = true;
      await looking;
      agent.destroy();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
