// A TCP proxy before PostgreSQL that breaks a connection at the worst moment: after the server has done
// what it was told and answered, before the client hears of it; or before the server hears at all.

import { connect, createServer, type Socket } from 'node:net';

export type Cut = 'the answer' | 'the statement';

export type PostgresProxy = {
  // The same URL, through the proxy.
  readonly url: string;
  // The next statement whose text contains `marker` is answered by a broken connection. Resolves then.
  readonly cutNext: (marker: string, what: Cut) => Promise<void>;
  readonly close: () => Promise<void>;
};

// ReadyForQuery outside of a transaction: the statement, or the COMMIT, is done.
const readyAndIdle = Buffer.from([0x5a, 0, 0, 0, 5, 0x49]);

export async function startProxy(url: string): Promise<PostgresProxy> {
  const target = new URL(url);
  const sockets = new Set<Socket>();
  let plan: { readonly marker: string; readonly what: Cut; readonly done: () => void } | null = null;

  const server = createServer((client) => {
    const upstream = connect(Number(target.port), target.hostname);
    // Set while the server's answer to the marked statement is kept from the client.
    let swallow: (() => void) | null = null;
    // The last bytes of that answer, however it was cut into pieces on its way.
    let tail: Buffer = Buffer.alloc(0);
    const end = () => {
      client.destroy();
      upstream.destroy();
    };
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', end);
      socket.on('close', () => {
        sockets.delete(socket);
        end();
      });
    }
    client.on('data', (bytes) => {
      if (plan === null || !bytes.includes(plan.marker)) return void upstream.write(bytes);
      const { what, done } = plan;
      plan = null;
      if (what === 'the answer') {
        swallow = done;
        upstream.write(bytes);
      } else {
        end();
        done();
      }
    });
    upstream.on('data', (bytes) => {
      if (swallow === null) return void client.write(bytes);
      tail = Buffer.concat([tail, bytes]).subarray(-readyAndIdle.length);
      if (!tail.equals(readyAndIdle)) return;
      const done = swallow;
      end();
      done();
    });
  });

  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const proxied = new URL(url);
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the proxy has no port');
  proxied.port = String(address.port);
  return {
    url: proxied.href,
    cutNext: (marker, what) =>
      new Promise((done) => {
        plan = { marker, what, done };
      }),
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
