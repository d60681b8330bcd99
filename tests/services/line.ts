// A line to a server that can be cut and mended, for servers that would lose their memory if they were
// stopped: an SQS-compatible server is not as durable as the real one.
//
// Promises: cut, every connection breaks and none is made; hushed, every connection stays and nothing passes
// any more, as behind a router that forgot them; mended, the same address works again, for new connections.

import { connect, createServer, type Socket } from 'node:net';

export async function startLine(url: string) {
  const target = new URL(url);
  const sockets = new Set<Socket>();
  let state: 'whole' | 'cut' | 'hushed' = 'whole';
  const hush = (socket: Socket) => void socket.unpipe().pause();
  const server = createServer((client) => {
    if (state === 'cut') return void client.resetAndDestroy();
    const upstream = connect(Number(target.port), target.hostname);
    if (state === 'whole') client.pipe(upstream).pipe(client);
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => {
        sockets.delete(socket);
        client.destroy();
        upstream.destroy();
      });
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const own = new URL(url);
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the line has no port');
  own.port = String(address.port);
  const end = (how: (socket: Socket) => void, next: typeof state = 'cut') => {
    state = next;
    for (const socket of sockets) how(socket);
  };
  return {
    url: own.href.replace(/\/$/, ''),
    // In good order, or in the middle of whatever was on its way.
    cut: async () => end((socket) => void socket.end()),
    tear: async () => end((socket) => void socket.resetAndDestroy()),
    hush: async () => end(hush, 'hushed'),
    mend: async () => {
      state = 'whole';
    },
    close: async () => {
      end((socket) => void socket.destroy());
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
