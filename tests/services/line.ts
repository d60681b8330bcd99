// A line to a server that can be cut and mended, for servers that would lose their memory if they were
// stopped: an SQS-compatible server is not as durable as the real one.
//
// Promises: cut, every connection breaks and none is made; mended, the same address works again.

import { connect, createServer, type Socket } from 'node:net';

export async function startLine(url: string) {
  const target = new URL(url);
  const sockets = new Set<Socket>();
  let isCut = false;
  const server = createServer((client) => {
    if (isCut) return void client.resetAndDestroy();
    const upstream = connect(Number(target.port), target.hostname);
    client.pipe(upstream).pipe(client);
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
  const end = (how: (socket: Socket) => void) => {
    isCut = true;
    for (const socket of sockets) how(socket);
  };
  return {
    url: own.href.replace(/\/$/, ''),
    // In good order, or in the middle of whatever was on its way.
    cut: async () => end((socket) => void socket.end()),
    tear: async () => end((socket) => void socket.resetAndDestroy()),
    mend: async () => {
      isCut = false;
    },
    close: async () => {
      end((socket) => void socket.destroy());
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
