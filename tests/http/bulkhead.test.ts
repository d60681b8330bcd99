// Crowds of readers, over real connections: what they may take, and what they cannot take from others.

import assert from 'node:assert/strict';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { describe, it, type TestContext } from 'node:test';
import type { System } from '../../src/engine/ports.ts';
import type { OrderDesk } from '../../src/flow/ports.ts';
import { createSystem } from '../../src/io/system.ts';
import { until } from '../support/until.ts';
import { createStubDesk, createTestServer } from './stub-desk.ts';

const slotsMax = 4;
const get = 'GET /orders HTTP/1.1\r\nHost: orderly\r\n\r\n';
const body = '{"userId":"u","amount":1}';
const post = `POST /orders HTTP/1.1\r\nHost: orderly\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`;

// A server whose reads end when the test lets them.
async function crowded(
  test: TestContext,
  system: System = createSystem(),
  more: Parameters<typeof createTestServer>[1] = {},
) {
  const stub = createStubDesk();
  const { promise: released, resolve: release } = Promise.withResolvers<void>();
  let running = 0;
  const seen = { calls: 0, mostAtOnce: 0 };
  const find: OrderDesk['find'] = async (query) => {
    seen.calls += 1;
    running += 1;
    seen.mostAtOnce = Math.max(seen.mostAtOnce, running);
    await released;
    running -= 1;
    return stub.desk.find(query);
  };
  const { app } = createTestServer({}, { desk: { ...stub.desk, find }, readsMax: slotsMax, system, ...more });
  await app.listen({ host: '127.0.0.1', port: 0 });
  const { port } = app.server.address() as AddressInfo;
  const sockets: Socket[] = [];
  test.after(async () => {
    for (const socket of sockets) socket.destroy();
    await app.close();
  });
  // What comes back, as a status per answer and the last headers.
  const ask = (text: string) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(text));
    let came = '';
    socket.setEncoding('utf8').on('data', (piece) => {
      came += piece;
    });
    socket.on('error', () => {});
    sockets.push(socket);
    const statuses = () => [...came.matchAll(/HTTP\/1\.1 (\d{3})/g)].map(([, status]) => Number(status));
    const answered = (count: number) =>
      until(() => (statuses().length >= count ? statuses() : null), `${count} answers`);
    return { socket, answered, statuses, text: () => came };
  };
  return { app, ask, seen, release };
}

// Nobody loses patience. Who asks for a slot asks for a timer.
function withoutTimers() {
  let count = 0;
  const after = () => {
    count += 1;
    return { cancel: () => {} };
  };
  return { system: { ...createSystem(), after }, asked: () => count };
}

describe('a crowd of readers', { timeout: 30_000 }, () => {
  it('is served in a few slots, in the order of its coming, until all are served', async (test) => {
    const { system, asked } = withoutTimers();
    const { ask, seen, release } = await crowded(test, system);
    const readers = Array.from({ length: 20 }, () => ask(get));
    await until(() => asked() === 20, 'all of them to ask for a slot');
    await until(() => seen.calls >= slotsMax, 'the slots to be taken');
    release();
    for (const reader of readers) assert.deepEqual(await reader.answered(1), [200]);
    assert.deepEqual(seen, { calls: 20, mostAtOnce: slotsMax });
  });

  it('does not stand in the way of an order that is placed', async (test) => {
    const { ask, seen } = await crowded(test);
    for (let n = 0; n < 20; n += 1) ask(get);
    await until(() => seen.calls === slotsMax, 'the slots to be taken');
    assert.deepEqual(await ask(post).answered(1), [201]);
  });

  it('of a search elsewhere that keeps silent does not stand in the way of who reads or cancels an order', async (test) => {
    const { ask, seen } = await crowded(test, createSystem(), { searchesMax: 2 });
    for (let n = 0; n < 20; n += 1) ask(get);
    await until(() => seen.calls === 2, 'the slots of searches to be taken');
    const path = '/orders/01993b1e-7c3a-7d4e-9f10-2b6c8d0e4f12';
    assert.deepEqual(await ask(get.replace('/orders', path)).answered(1), [404]);
    assert.deepEqual(await ask(get.replace('GET /orders', `POST ${path}/cancel`)).answered(1), [404]);
    assert.equal(seen.mostAtOnce, 2);
  });

  it('is told to come back when it is larger than what may wait', async (test) => {
    const { system, asked } = withoutTimers();
    const { app, seen, release } = await crowded(test, system);
    const readers = Array.from({ length: slotsMax + 2_048 }, () => app.inject('/orders'));
    await until(() => asked() === readers.length, 'all of them to wait');
    const late = await app.inject('/orders');
    assert.deepEqual([late.statusCode, late.headers['retry-after'], late.json().code], [503, '1', 'unavailable']);
    release();
    for (const answer of await Promise.all(readers)) assert.equal(answer.statusCode, 200);
    assert.equal(seen.mostAtOnce, slotsMax);
  });

  it('is told to come back when it has waited long enough', async (test) => {
    const ends: (() => void)[] = [];
    const after = (_ms: number, call: () => void) => {
      ends.push(call);
      return { cancel: () => {} };
    };
    const { ask, seen } = await crowded(test, { ...createSystem(), after });
    const readers = Array.from({ length: slotsMax + 1 }, () => ask(get));
    await until(() => ends.length === slotsMax + 1, 'the last one to wait');
    for (const end of ends) end();
    const answered = await until(
      async () => readers.find(({ statuses }) => statuses().length > 0) ?? null,
      'an answer',
    );
    assert.deepEqual(answered.statuses(), [503]);
    assert.equal(seen.calls, slotsMax);
  });

  it('gets its slots back from requests that fail', async (test) => {
    const { desk, fault } = createStubDesk();
    const { app } = createTestServer({}, { desk, readsMax: slotsMax });
    test.after(() => app.close());
    fault.error = new Error('a defect');
    for (let n = 0; n < slotsMax; n += 1) assert.equal((await app.inject('/orders')).statusCode, 500);
    fault.error = undefined;
    assert.equal((await app.inject('/orders')).statusCode, 200);
    assert.equal((await app.inject({ url: '/orders', method: 'HEAD' })).statusCode, 200);
  });
});

describe('one reader', { timeout: 30_000 }, () => {
  it('has one request at a time worked on, however many it sends at once', async (test) => {
    const { ask, seen, release } = await crowded(test);
    const reader = ask(get.repeat(30));
    const other = ask(get);
    await until(() => seen.calls === 2, 'one request of each');
    release();
    assert.equal((await reader.answered(30)).filter((status) => status === 200).length, 30);
    assert.deepEqual(await other.answered(1), [200]);
    assert.deepEqual(seen, { calls: 31, mostAtOnce: 2 });
  });

  it('has one at a time worked on where none of them meets the database, too', async (test) => {
    const asked: (() => void)[] = [];
    const metrics = async () => {
      const { promise, resolve } = Promise.withResolvers<void>();
      asked.push(resolve);
      await promise;
      return { contentType: 'text/plain', body: '' };
    };
    const { app, ask } = await crowded(test, createSystem(), { metrics });
    const healthy = 'GET /healthz HTTP/1.1\r\nHost: orderly\r\n\r\n';
    let came = 0;
    app.server.on('request', () => {
      came += 1;
    });
    const reader = ask(get.replace('/orders', '/metrics').repeat(10));
    await until(() => came === 10, 'all requests to arrive');
    // Whoever else asks meanwhile is answered.
    await ask(healthy).answered(1);
    for (let nth = 1; nth <= 10; nth += 1) {
      await until(() => asked.length === nth, 'the next one');
      await ask(healthy).answered(1);
      assert.equal(asked.length, nth);
      asked.at(-1)?.();
    }
    assert.deepEqual(await reader.answered(10), Array(10).fill(200));
  });

  it('who sends more than 64 without an answer is told to come back', async (test) => {
    const { app, ask, seen, release } = await crowded(test);
    let came = 0;
    app.server.on('request', () => {
      came += 1;
    });
    const reader = ask(get.repeat(100));
    await until(() => came === 100, 'all requests to arrive');
    release();
    const expected = Array.from({ length: 100 }, (_, nth) => (nth < 64 ? 200 : 503));
    assert.deepEqual(await reader.answered(100), expected);
    assert.equal(seen.calls, 64);
  });

  it('who goes on sending without an answer loses its connection, and costs others nothing', async (test) => {
    const { ask, seen, release } = await crowded(test);
    const reader = ask(get.repeat(400));
    await until(() => reader.socket.destroyed, 'its connection to end');
    release();
    assert.deepEqual(await ask(get).answered(1), [200]);
    assert.deepEqual([reader.statuses(), seen.calls], [[], 2]);
  });

  it('who leaves is worked for no longer', async (test) => {
    const { ask, app, seen, release } = await crowded(test);
    const gone = new Promise((resolve) => app.server.once('connection', (socket) => socket.once('close', resolve)));
    const reader = ask(get.repeat(50));
    await until(() => seen.calls === 1, 'the first request');
    reader.socket.destroy();
    await gone;
    release();
    assert.deepEqual(await ask(get).answered(1), [200]);
    assert.equal(seen.calls, 2);
  });
});

describe('a crowd of probes', () => {
  it('gets one answer while it is being found', async (test) => {
    const { promise: released, resolve: release } = Promise.withResolvers<void>();
    const asked = { ready: 0 };
    const { app } = createTestServer(
      {},
      {
        readiness: async () => {
          asked.ready += 1;
          await released;
          return { status: 'ok', checks: [] };
        },
      },
    );
    test.after(() => app.close());
    const probes = Array.from({ length: 20 }, () => app.inject('/readyz'));
    await until(async () => (asked.ready === 1 ? true : null), 'the question');
    release();
    for (const answer of await Promise.all(probes)) assert.equal(answer.statusCode, 200);
    assert.deepEqual(asked, { ready: 1 });
    assert.equal((await app.inject('/readyz')).statusCode, 200);
    assert.deepEqual(asked, { ready: 2 });
  });
});
