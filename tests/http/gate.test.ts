// Who is turned away before anything else: requests that a web page made somebody's browser send.

import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { createGate, type Gate } from '../../src/io/gate.ts';
import { createSandboxServer } from '../../src/io/partners/server.ts';
import { silentLog } from '../support/silent-log.ts';
import { assertProblem } from './assert-problem.ts';
import { createTestServer } from './stub-desk.ts';

const local = createGate({ host: '127.0.0.1', allowedHosts: [] });
const ask = (gate: Gate, headers: Record<string, string>, method = 'GET') =>
  gate({ method, headers, rawHeaders: Object.entries(headers).flat() })?.reason ?? null;

describe('the gate', () => {
  it('on loopback knows the names of this machine, with any port, and no other', () => {
    for (const name of ['localhost', 'LOCALHOST', '127.0.0.1', '127.8.9.10', '[::1]']) {
      assert.equal(ask(local, { host: name }), null, name);
      assert.equal(ask(local, { host: `${name}:3000` }), null, `${name} with a port`);
    }
    const others = [
      'attacker.example',
      'localhost.attacker.example',
      '127.0.0.1.nip.io',
      '192.168.0.7',
      '[::2]',
      'x.localhost',
      '',
    ];
    for (const host of others) assert.equal(ask(local, { host }), 'misdirected', host);
    assert.equal(ask(local, {}), null, 'HTTP/1.0 has no Host, and no browser speaks it');
  });

  it('knows the names of ALLOWED_HOSTS as well', () => {
    const named = createGate({ host: 'localhost', allowedHosts: ['Orders.Example'] });
    assert.equal(ask(named, { host: 'orders.example:80' }), null);
    assert.equal(ask(named, { host: 'other.example' }), 'misdirected');
    assert.equal(ask(named, { host: '127.0.0.1' }), null);
  });

  it('elsewhere takes any name unless some are named, and then still addresses, by which probes come', () => {
    const open = createGate({ host: '0.0.0.0', allowedHosts: [] });
    const named = createGate({ host: '0.0.0.0', allowedHosts: ['orders.example'] });
    assert.equal(ask(open, { host: 'anything.example' }), null);
    assert.equal(ask(named, { host: 'anything.example' }), 'misdirected');
    for (const host of ['orders.example', '10.1.2.3:3000', '[fd00::1]:3000']) assert.equal(ask(named, { host }), null);
  });

  it('lets no page of another origin change anything', () => {
    const host = 'localhost:3000';
    const pages: [headers: Record<string, string>, isRefused: boolean][] = [
      [{}, false],
      [{ 'sec-fetch-site': 'same-origin', origin: 'http://localhost:3000' }, false],
      [{ 'sec-fetch-site': 'none' }, false],
      [{ 'sec-fetch-site': 'cross-site' }, true],
      [{ 'sec-fetch-site': 'same-site', origin: 'http://localhost:8080' }, true],
      [{ origin: 'https://attacker.example' }, true],
      [{ origin: 'null' }, true],
    ];
    for (const [headers, isRefused] of pages) {
      for (const method of ['POST', 'DELETE', 'PUT', 'PATCH']) {
        const expected = isRefused ? 'cross-site' : null;
        assert.equal(ask(local, { host, ...headers }, method), expected, `${method} ${JSON.stringify(headers)}`);
      }
      for (const method of ['GET', 'HEAD']) assert.equal(ask(local, { host, ...headers }, method), null);
    }
  });

  it('takes a page for its own behind a proxy that ends TLS, and that writes another Host where it is named', () => {
    const gate = createGate({ host: '0.0.0.0', allowedHosts: [] });
    const named = createGate({ host: '0.0.0.0', allowedHosts: ['orders.example'] });
    const origin = 'https://orders.example';
    assert.equal(ask(gate, { host: 'orders.example', origin }, 'POST'), null);
    assert.equal(ask(gate, { host: '10.0.0.1:3000', origin }, 'POST'), 'cross-site');
    assert.equal(ask(named, { host: '10.0.0.1:3000', origin }, 'POST'), null);
  });
});

describe('a request of a foreign page', () => {
  const { app, calls } = createTestServer({}, { gate: local });
  after(() => app.close());

  it('under a foreign name is answered with 421, whatever it asks for', async () => {
    for (const url of ['/orders', '/dlq', '/metrics', '/docs', '/nothing']) {
      const answer = await app.inject({ url, headers: { host: 'attacker.example' } });
      assertProblem(answer, 421, 'misdirected');
      assert.doesNotMatch(answer.body, /@/);
    }
  });

  it('is answered with 403 where it would change something, and nothing is done', async () => {
    const headers = { host: 'localhost', 'sec-fetch-site': 'cross-site' };
    for (const url of ['/orders', '/orders/x/cancel', '/dlq/x/reprocess', '/dlq/letters/x/reprocess']) {
      assertProblem(await app.inject({ method: 'POST', url, headers }), 403, 'cross-site');
    }
    assert.deepEqual(calls, []);
  });

  it('finds no answer that may be kept, guessed at or framed', async () => {
    for (const url of ['/orders', '/healthz', '/nothing']) {
      const { headers } = await app.inject({ url, headers: { host: 'localhost' } });
      assert.equal(headers['cache-control'], 'no-store', url);
      assert.equal(headers['x-content-type-options'], 'nosniff', url);
      assert.equal(headers['x-frame-options'], 'DENY', url);
    }
  });
});

describe('a request with two hosts', () => {
  it('is refused, by the name of the header', async (test) => {
    const { app } = createTestServer({}, { gate: local });
    test.after(() => app.close());
    const url = new URL(await app.listen({ host: '127.0.0.1', port: 0 }));
    const answer = await new Promise<string>((resolve, reject) => {
      let text = '';
      const socket = connect(Number(url.port), '127.0.0.1', () =>
        socket.write('GET /healthz HTTP/1.1\r\nHost: localhost\r\nhost: localhost\r\nConnection: close\r\n\r\n'),
      );
      socket.on('data', (chunk) => (text += chunk));
      socket.on('error', reject);
      socket.on('close', () => resolve(text));
    });
    assert.match(answer, /^HTTP\/1\.1 400 /);
    assert.match(answer, /"errors":\[\{"in":"header","name":"Host","detail":"must be there once"\}\]/);
  });
});

describe('the page of the document', () => {
  it('can be switched off, with the document itself', async (test) => {
    const { app } = createTestServer({ docs: false });
    test.after(() => app.close());
    for (const url of ['/docs', '/docs/', '/openapi.json', '/']) {
      const answer = await app.inject({ url });
      assertProblem(answer, 404, 'not-found');
      assert.doesNotMatch(answer.body, /docs/);
    }
    assert.equal((await app.inject({ url: '/orders' })).statusCode, 200);
  });
});

describe('the sandbox', () => {
  let url = '';
  const touched: string[] = [];
  const touch = (name: string) => () => {
    touched.push(name);
    return {};
  };
  const stage = { state: touch('state'), clear: touch('clear'), direct: touch('direct') };
  const server = createSandboxServer({
    ledger: { counts: () => [] } as never,
    stage: stage as never,
    system: { now: () => new Date(), newId: () => 'id' },
    log: silentLog,
    gate: local,
  });
  before(async () => {
    url = await server.listen({ host: '127.0.0.1', port: 0 });
  });
  after(() => server.close());

  it('turns foreign pages away as well', async () => {
    const foreign = { method: 'DELETE', headers: { origin: 'https://attacker.example' } };
    const refused = await fetch(`${url}/control`, foreign);
    assert.equal(refused.status, 403);
    assert.equal(((await refused.json()) as { code: string }).code, 'cross-site');
    assert.deepEqual(touched, []);
    assert.equal((await fetch(`${url}/ledger/summary`)).status, 200);
    assert.equal((await fetch(`${url}/control`, { method: 'DELETE' })).status, 200);
  });
});
