// What a client of the sandbox makes of a world that is not the sandbox, and what the sandbox shows
// to an audit and takes from a director.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type RequestListener } from 'node:http';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { OrderId } from '../../src/domain/order.ts';
import { OutsideError } from '../../src/engine/ports.ts';
import { createHttpPartners } from '../../src/io/partners/http.ts';
import { type Ledger, openLedger } from '../../src/io/partners/ledger.ts';
import { createSandboxServer, type SandboxServer } from '../../src/io/partners/server.ts';
import { createStage } from '../../src/io/partners/stage.ts';
import { createSystem } from '../../src/io/system.ts';
import { runSandbox } from '../../src/main/sandbox.ts';

const silent = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
const patient = () => new AbortController().signal;
const payment = (orderId: string) => ({
  key: `${orderId}:authorization:0`,
  orderId: orderId as OrderId,
  amount: 1_999,
  currency: 'USD',
  scenario: 'success' as const,
  epoch: 0,
});
const urlOf = (address: AddressInfo | string | null) => `http://127.0.0.1:${(address as AddressInfo).port}`;

async function troubleAt(url: string) {
  const partners = createHttpPartners({ url });
  try {
    assert.fail(`answered ${JSON.stringify(await partners.payments.authorize(payment('o'), patient()))}`);
  } catch (error) {
    if (!(error instanceof OutsideError)) throw error;
    const { message: _, ...trouble } = error.trouble;
    return trouble;
  } finally {
    partners.close();
  }
}

async function troubleFrom(listener: RequestListener) {
  const server = createServer(listener).listen(0, '127.0.0.1');
  await once(server, 'listening');
  try {
    return await troubleAt(urlOf(server.address()));
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

describe('partners over HTTP', () => {
  const malformed = { class: 'unknown', code: 'malformed-answer', dependencyDown: true };
  const authorizedOn = (expiresAt: string) =>
    JSON.stringify({ outcome: 'authorized', authorizationId: 'a', expiresAt });
  const garbage: Record<string, string> = {
    'no JSON': '<html>welcome</html>',
    'no body': '',
    null: 'null',
    'an unknown outcome': '{"outcome":"perhaps"}',
    'a missing id': '{"outcome":"authorized","expiresAt":"2026-11-28T07:00:00Z"}',
    'an id of another type': '{"outcome":"authorized","authorizationId":7,"expiresAt":"2026-11-28T07:00:00Z"}',
    'no date': authorizedOn('soon'),
    'a date that is none': authorizedOn('2026-13-41T07:00:00Z'),
    'a leap second': authorizedOn('2026-12-31T23:59:60Z'),
    'too much': JSON.stringify({ outcome: 'closed', padding: 'x'.repeat(70_000) }),
  };
  for (const [what, body] of Object.entries(garbage)) {
    test(`an answer with ${what} leaves the outcome unknown`, async () => {
      assert.deepEqual(await troubleFrom((_request, response) => response.end(body)), malformed);
    });
  }

  for (const status of [204, 302, 400, 404, 422]) {
    test(`a ${status} that is not the partner's own word leaves the outcome unknown`, async () => {
      assert.deepEqual(await troubleFrom((_request, response) => response.writeHead(status).end()), malformed);
    });
  }

  test('a 500 leaves the outcome unknown and says that the partner is ill', async () => {
    const trouble = await troubleFrom((_request, response) => response.writeHead(500).end('oops'));
    assert.deepEqual(trouble, { class: 'unknown', code: 'partner-broken', dependencyDown: true });
  });

  test('a 429 without a delay is throttling without a delay', async () => {
    const trouble = await troubleFrom((_request, response) => response.writeHead(429).end());
    assert.deepEqual(trouble, { class: 'throttled', code: 'partner-throttled', dependencyDown: false });
  });

  for (const [seconds, retryAfterMs] of [
    ['86400', 86_400_000],
    ['31536000', 31_536_000_000],
    ['9'.repeat(400), Number.MAX_SAFE_INTEGER],
  ] as const) {
    test(`a 429 with a delay of ${seconds.length} digits is throttling for that long`, async () => {
      const headers = { 'retry-after': seconds };
      const trouble = await troubleFrom((_request, response) => response.writeHead(429, headers).end());
      assert.deepEqual(trouble, { class: 'throttled', code: 'partner-throttled', dependencyDown: false, retryAfterMs });
    });
  }

  test('a refused connection has certainly done nothing and says that the partner is down', async () => {
    const server = createTcpServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const url = urlOf(server.address());
    server.close();
    await once(server, 'close');
    assert.deepEqual(await troubleAt(url), { class: 'retryable', code: 'partner-unavailable', dependencyDown: true });
  });

  test('a connection that breaks before the answer leaves the outcome unknown', async () => {
    const trouble = await troubleFrom((request) => request.socket.destroy());
    assert.deepEqual(trouble, { class: 'unknown', code: 'connection-lost', dependencyDown: true });
  });

  test('a connection that breaks in the middle of the answer leaves the outcome unknown', async () => {
    const trouble = await troubleFrom((request, response) => {
      response.writeHead(200, { 'content-length': '100' });
      response.write('{"outcome"', () => request.socket.destroy());
    });
    assert.deepEqual(trouble, { class: 'unknown', code: 'connection-lost', dependencyDown: true });
  });

  test('a request larger than a partner takes is refused before it is sent', async () => {
    const partners = createHttpPartners({ url: 'http://127.0.0.1:9' });
    const text = 'x'.repeat(300_000);
    const mail = {
      key: 'k',
      orderId: 'o' as OrderId,
      kind: 'processed',
      to: 'a@example.com',
      subject: 's',
      text,
    } as const;
    await assert.rejects(partners.mail.send(mail, patient()), (error: OutsideError) => {
      assert.equal(error.trouble.class, 'non-retryable');
      assert.equal(error.trouble.code, 'request-too-large');
      return true;
    });
    partners.close();
  });
});

describe('sandbox', () => {
  const directory = mkdtempSync(join(tmpdir(), 'orderly-sandbox-'));
  const stage = createStage();
  let ledger: Ledger;
  let server: SandboxServer;
  let url: string;
  let partners: ReturnType<typeof createHttpPartners>;

  before(async () => {
    ledger = openLedger({ directory });
    server = createSandboxServer({ ledger, stage, system: createSystem(), log: silent, gate: () => null });
    url = await server.listen({ host: '127.0.0.1', port: 0 });
    partners = createHttpPartners({ url });
  });
  after(async () => {
    partners.close();
    await server.close();
    ledger.close();
    rmSync(directory, { recursive: true });
  });

  const read = async (path: string) => (await fetch(url + path)).json() as Promise<Record<string, unknown>>;
  const direct = (body: unknown) =>
    fetch(`${url}/control`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });

  test('the ledger shows each effect with its terms and state to an audit', async () => {
    const answer = await partners.payments.authorize(payment('audited'), patient());
    assert.ok(answer.outcome === 'authorized');
    const { items, nextCursor } = (await read('/ledger?orderId=audited')) as { items: object[]; nextCursor: null };
    assert.equal(nextCursor, null);
    const [{ position: _p, createdAt: _c, changedAt: _h, ...entry }] = items as [Record<string, unknown>];
    assert.deepEqual(entry, {
      partner: 'payments',
      key: 'audited:authorization:0',
      orderId: 'audited',
      state: 'authorized',
      reference: answer.authorizationId,
      code: null,
      terms: { amount: 1_999, currency: 'USD' },
      expiresAt: answer.expiresAt.toISOString(),
    });
    assert.deepEqual(await read('/ledger/calls?orderId=audited'), { items: [{ call: 'authorize', calls: 1 }] });
  });

  test('the ledger is read page by page with a cursor', async () => {
    for (const order of ['p1', 'p2', 'p3']) await partners.payments.void(payment(order), patient());
    const keys: string[] = [];
    let cursor = '0';
    for (;;) {
      const page = (await read(`/ledger?limit=2&cursor=${cursor}`)) as { items: { key: string }[]; nextCursor: string };
      keys.push(...page.items.map((entry) => entry.key));
      if (page.nextCursor === null) break;
      cursor = page.nextCursor;
    }
    assert.deepEqual(
      keys.slice(-3),
      ['p1', 'p2', 'p3'].map((order) => payment(order).key),
    );
    assert.equal(new Set(keys).size, keys.length);
    const { items } = (await read('/ledger/summary')) as { items: { state: string; entries: number }[] };
    assert.equal(items.find((each) => each.state === 'closed')?.entries, 3);
  });

  test('directions arrive over HTTP and are spent there', async () => {
    assert.equal((await direct({ call: 'authorize', act: 'refuse', orderId: 'directed' })).status, 200);
    assert.equal(((await read('/control')).cues as unknown[]).length, 1);
    assert.equal((await partners.payments.authorize(payment('directed'), patient())).outcome, 'declined');
    assert.equal(((await read('/control')).cues as unknown[]).length, 0);
    await direct({ all: 'down' });
    assert.equal((await fetch(`${url}/healthz`)).status, 200);
    assert.deepEqual((await read('/control')).weather, { payments: 'down', carrier: 'down', mail: 'down' });
    await fetch(`${url}/control`, { method: 'DELETE' });
    assert.equal((await partners.payments.authorize(payment('after'), patient())).outcome, 'authorized');
  });

  for (const body of [
    {},
    { all: 'sunny' },
    { call: 'authorize' },
    { call: 'authorize', act: 'refuse', order: 'x' },
    7,
  ]) {
    test(`the direction ${JSON.stringify(body)} is refused`, async () => {
      const answer = await direct(body);
      assert.deepEqual([answer.status, answer.headers.get('content-type')], [400, 'application/problem+json']);
      const { detail, code } = (await answer.json()) as { detail: string; code: string };
      assert.equal(code, 'invalid-request');
      for (const word of ['throttle', 'authorize', 'hang-after']) assert.match(detail, new RegExp(word));
    });
  }

  for (const [what, type, body] of [
    ['is no JSON', 'application/json', '{"payments":down}'],
    ['comes as a form, as curl sends it', 'application/x-www-form-urlencoded', '{"payments":"down"}'],
  ] as const) {
    test(`a direction that ${what} is refused in the same words`, async () => {
      const answer = await fetch(`${url}/control`, { method: 'POST', headers: { 'content-type': type }, body });
      assert.ok([400, 415].includes(answer.status));
      const { detail } = (await answer.json()) as { detail: string };
      for (const word of ['application/json', 'throttle', 'hang-after']) assert.ok(detail.includes(word), detail);
    });
  }

  test('whoever opens it is told what it is, and what it takes', async () => {
    const said = JSON.stringify(await read('/'));
    for (const word of ['sandbox', '/authorizations', '/ledger', '/control', 'hang-before']) {
      assert.ok(said.includes(word), word);
    }
    const nowhere = await fetch(`${url}/nowhere`);
    assert.deepEqual([nowhere.status, nowhere.headers.get('content-type')], [404, 'application/problem+json']);
  });

  test('a time that no calendar has is refused, and never asked of the ledger', async () => {
    for (const at of ['2026-02-30T00:00:00Z', '2026-12-31T23:59:60Z']) {
      assert.equal((await fetch(`${url}/ledger/traffic?from=${at}`)).status, 400);
    }
  });

  test('a call of the wrong shape is refused for good and reaches no partner', async () => {
    const bent = { ...payment('bent'), amount: 0.5 };
    await assert.rejects(partners.payments.authorize(bent, patient()), (error: OutsideError) => {
      assert.equal(error.trouble.class, 'non-retryable');
      assert.equal(error.trouble.code, 'invalid-request');
      return true;
    });
    assert.deepEqual(await read('/ledger/calls?orderId=bent'), { items: [] });
  });

  test('a sandbox that is told to stop cuts off the calls that hang and lets go of its ledger', async () => {
    const dataDir = mkdtempSync(join(tmpdir(), 'orderly-sandbox-'));
    const stop = new AbortController();
    const listening = Promise.withResolvers<string>();
    const info = (fields: object) => listening.resolve((fields as { url: string }).url);
    const log = { ...silent, info };
    const running = runSandbox({
      dataDir,
      host: '127.0.0.1',
      allowedHosts: [],
      port: 0,
      log,
      system: createSystem(),
      signal: stop.signal,
    });
    const client = createHttpPartners({ url: await listening.promise });
    const request = { ...payment('hanging'), scenario: 'timeout' as const };
    const hanging = client.payments.authorize(request, patient()).catch((error: OutsideError) => error.trouble.code);
    const state = async () => (await (await fetch(`${await listening.promise}/control`)).json()) as { hanging: number };
    while ((await state()).hanging === 0);
    stop.abort();
    assert.equal(await hanging, 'connection-lost');
    await running;
    client.close();
    openLedger({ directory: join(dataDir, 'partners') }).close();
    rmSync(dataDir, { recursive: true });
  });
});
