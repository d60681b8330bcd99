// Over real connections: what a client can do to a socket that no well-formed request can express.

import assert from 'node:assert/strict';
import { type AddressInfo, connect } from 'node:net';
import { Duplex } from 'node:stream';
import { describe, it, type TestContext } from 'node:test';
import type { OrderDesk } from '../../src/flow/ports.ts';
import { answerClientError } from '../../src/io/http/failures.ts';
import { type Answer, assertProblem, placesOf } from './assert-problem.ts';
import { createStubDesk, createTestServer } from './stub-desk.ts';

const body = '{"userId":"u","amount":1}';
const head = 'POST /orders HTTP/1.1\r\nHost: orderly\r\nContent-Type: application/json\r\n';
const whole = `${head}Content-Length: ${body.length}\r\n\r\n${body}`;

async function listening(test: TestContext, desk?: OrderDesk) {
  const server = createTestServer({}, desk === undefined ? {} : { desk });
  await server.app.listen({ host: '127.0.0.1', port: 0 });
  test.after(() => server.app.close());
  const { port } = server.app.server.address() as AddressInfo;
  return { ...server, port };
}

// Resolves to everything that came back once the server has closed the connection.
function send(port: number, text: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    const socket = connect(port, '127.0.0.1', () => socket.write(text, 'latin1'));
    socket.on('data', (chunk) => chunks.push(chunk));
    socket.on('error', (error: NodeJS.ErrnoException) => (error.code === 'ECONNRESET' ? undefined : reject(error)));
    socket.on('close', () => resolve(toAnswer(Buffer.concat(chunks).toString('utf8'))));
  });
}

function toAnswer(text: string): Answer {
  const end = text.indexOf('\r\n\r\n');
  const [first = '', ...lines] = text.slice(0, end).split('\r\n');
  const headers = Object.fromEntries(
    lines.map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 2)]),
  );
  return { statusCode: Number(first.split(' ')[1]), headers, body: text.slice(end + 4) };
}

describe('a connection', () => {
  const close = 'Connection: close\r\n';
  const refused: [promise: string, text: string, status: number, code: string, place?: string][] = [
    ['that speaks no HTTP', 'HELLO\r\n\r\n', 400, 'bad-request'],
    ['with an invalid header', `GET /healthz HTTP/1.1\r\nHost: a\r\nBad Header\r\n\r\n`, 400, 'bad-request'],
    [
      'with headers of 20 KiB',
      `GET /healthz HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(20_480)}\r\n\r\n`,
      431,
      'headers-too-large',
    ],
    ['without a host', `GET /healthz HTTP/1.1\r\n${close}\r\n`, 400, 'invalid-parameter', 'header Host'],
    [
      'that expects the impossible',
      `${head}${close}Expect: more\r\nContent-Length: 0\r\n\r\n`,
      417,
      'expectation-failed',
    ],
    ['that sends a broken chunk', `${head}Transfer-Encoding: chunked\r\n\r\nzz\r\n`, 400, 'bad-request'],
    ['that announces 70 KiB', `${head}${close}Content-Length: 71680\r\n\r\n`, 413, 'body-too-large'],
    [
      'that sends 70 KiB in chunks',
      `${head}${close}Transfer-Encoding: chunked\r\n\r\n11800\r\n${' '.repeat(71_680)}\r\n0\r\n\r\n`,
      413,
      'body-too-large',
    ],
    ['that compresses its chunks', `${head}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`, 501, 'not-implemented'],
    [
      'that sends two media types',
      `${head}${close}Content-Type: text/plain\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
      400,
      'invalid-parameter',
      'header Content-Type',
    ],
    [
      'that sends two keys',
      `${head}${close}Idempotency-Key: a\r\nIdempotency-Key: a\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
      400,
      'invalid-parameter',
      'header Idempotency-Key',
    ],
    [
      'that sends an empty key and a key',
      `${head}${close}Idempotency-Key:\r\nIdempotency-Key: a\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
      400,
      'invalid-parameter',
      'header Idempotency-Key',
    ],
    [
      'that sends an empty key',
      `${head}${close}Idempotency-Key:\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
      400,
      'invalid-parameter',
      'header Idempotency-Key',
    ],
    [
      'that sends two correlation ids',
      `${head}${close}X-Correlation-Id: a\r\nX-Correlation-Id: a\r\nContent-Length: 0\r\n\r\n`,
      400,
      'invalid-parameter',
      'header X-Correlation-Id',
    ],
  ];
  for (const [promise, text, status, code, place] of refused) {
    it(`${promise} gets a problem document`, async (test) => {
      const { port, calls } = await listening(test);
      const problem = assertProblem(await send(port, text), status, code);
      assert.deepEqual(placesOf(problem), place === undefined ? [] : [place]);
      assert.equal(calls.length, 0);
    });
  }

  it('may repeat one media type', async (test) => {
    const { port } = await listening(test);
    const twice = `${head}${close}Content-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
    assert.equal((await send(port, twice)).statusCode, 201);
  });

  it('may send an empty body in chunks where none is needed, whatever its type', async (test) => {
    const { port, desk, calls } = await listening(test);
    const placed = await desk.place({
      command: { userId: 'u', amount: 1 },
      received: {},
      key: null,
      correlationId: 'c',
      traceparent: null,
    });
    assert.ok('order' in placed);
    const cancel = `POST /orders/${placed.order.id}/cancel HTTP/1.1\r\nHost: a\r\n${close}Transfer-Encoding: chunked\r\n`;
    for (const type of ['', 'Content-Type: nonsense\r\n', 'Content-Type: application/json\r\n']) {
      assert.equal((await send(port, `${cancel}${type}\r\n0\r\n\r\n`)).statusCode, 200, type);
    }
    assert.equal(calls.length, 4);
  });
});

describe('a request that does not arrive in time', () => {
  it('is answered with a problem document before its connection is closed', async () => {
    const chunks: Buffer[] = [];
    const socket = new Duplex({
      read: () => {},
      write: (chunk, _encoding, written) => {
        chunks.push(chunk);
        written();
      },
    });
    const closed = new Promise((resolve) => socket.on('error', resolve));
    const late = Object.assign(new Error('late'), { code: 'ERR_HTTP_REQUEST_TIMEOUT' });
    answerClientError(late, socket, 'c-1');
    assert.equal(await closed, late);
    assertProblem(toAnswer(Buffer.concat(chunks).toString()), 408, 'request-timeout');
  });
});

describe('closing the server', () => {
  it('answers the running request, refuses what follows on the connection, and ends', async (test) => {
    const { desk } = createStubDesk();
    const { promise: reached, resolve: reach } = Promise.withResolvers<void>();
    const { promise: released, resolve: release } = Promise.withResolvers<void>();
    const waiting: OrderDesk = {
      ...desk,
      place: async (input) => {
        reach();
        await released;
        return desk.place(input);
      },
    };
    const { app, port } = await listening(test, waiting);
    const chunks: Buffer[] = [];
    const socket = connect(port, '127.0.0.1', () => socket.write(whole));
    socket.on('data', (chunk) => chunks.push(chunk));
    const ended = new Promise((resolve) => socket.on('close', resolve));
    await reached;
    const { promise: refusedNext, resolve: refuseNext } = Promise.withResolvers<void>();
    app.server.on('request', (_request, response) => response.on('finish', refuseNext));
    const closed = app.close();
    socket.write(whole);
    // The second request is under way before the first is let go.
    await new Promise((resolve) => app.server.once('request', resolve));
    release();
    await Promise.all([closed, ended, refusedNext]);
    const [first, second] = Buffer.concat(chunks)
      .toString()
      .split(/(?<=\})(?=HTTP\/1\.1)/);
    assert.equal(toAnswer(first ?? '').statusCode, 201);
    const refusal = toAnswer(second ?? '');
    assertProblem(refusal, 503, 'unavailable');
    assert.equal(refusal.headers['retry-after'], '1');
    assert.equal(refusal.headers.connection, 'close');
  });

  it('lets go of a connection whose last request was running', async (test) => {
    const { desk } = createStubDesk();
    const { promise: reached, resolve: reach } = Promise.withResolvers<void>();
    const { promise: released, resolve: release } = Promise.withResolvers<void>();
    const place: OrderDesk['place'] = async (input) => {
      reach();
      await released;
      return desk.place(input);
    };
    const { app, port } = await listening(test, { ...desk, place });
    const answered = send(port, whole);
    await reached;
    const closed = app.close();
    release();
    assert.equal((await answered).statusCode, 201);
    await closed;
  });
});
