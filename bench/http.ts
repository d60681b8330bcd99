// HTTP/1.1 by hand on one keep-alive socket: the load must cost the machine little, for what it takes is
// missing from what is measured.
//
// Promises: one request at a time per connection; an answer is whole before it is handed over; what is
// not understood (no length, bytes after the end) is an error, never a guess.
// Relies on the server sending Content-Length, as Orderly does.

import { once } from 'node:events';
import { connect as openSocket } from 'node:net';

export type Answer = { readonly status: number; readonly body: string };
export type Connection = {
  // The bytes of one whole request. Rejects when the connection ends first.
  readonly send: (request: string) => Promise<Answer>;
  readonly close: () => void;
};

type Pending = { readonly resolve: (answer: Answer) => void; readonly reject: (error: Error) => void };

const lengthName = '\r\ncontent-length: ';

export async function connect(port: number): Promise<Connection> {
  const socket = openSocket(port, '127.0.0.1');
  await once(socket, 'connect');
  socket.setNoDelay(true).setEncoding('latin1');

  let received = '';
  let pending: Pending | null = null;

  function settle(end: (waiting: Pending) => void): void {
    const waiting = pending;
    pending = null;
    received = '';
    if (waiting !== null) end(waiting);
  }

  socket.on('data', (chunk: string) => {
    received += chunk;
    const bodyAt = received.indexOf('\r\n\r\n') + 4;
    if (bodyAt < 4) return;
    const lengthAt = received.slice(0, bodyAt).toLowerCase().indexOf(lengthName);
    if (lengthAt < 0) {
      settle(({ reject }) => reject(new Error(`an answer without a length: ${received.slice(0, 200)}`)));
      return;
    }
    const size = Number.parseInt(received.slice(lengthAt + lengthName.length), 10);
    if (received.length < bodyAt + size) return;
    // `HTTP/1.1 201 …`: the status stands at 9.
    const answer = { status: Number(received.slice(9, 12)), body: received.slice(bodyAt) };
    settle(({ resolve, reject }) => {
      if (answer.body.length === size) resolve(answer);
      else reject(new Error('more bytes than the answer has'));
    });
  });
  socket.on('error', (error) => settle(({ reject }) => reject(error)));
  socket.on('close', () => settle(({ reject }) => reject(new Error('the server closed the connection'))));

  return {
    send: (request) =>
      new Promise((resolve, reject) => {
        pending = { resolve, reject };
        socket.write(request, 'latin1');
      }),
    close: () => socket.destroy(),
  };
}

export function get(path: string): string {
  return `GET ${path} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n`;
}

// The body must be ASCII: its length is counted in characters.
export function post(path: string, key: string, body: string): string {
  const headers = `content-type: application/json\r\nidempotency-key: ${key}\r\ncontent-length: ${body.length}`;
  return `POST ${path} HTTP/1.1\r\nhost: 127.0.0.1\r\n${headers}\r\n\r\n${body}`;
}
