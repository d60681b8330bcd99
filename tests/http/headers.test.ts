import assert from 'node:assert/strict';
import { after, beforeEach, describe, it } from 'node:test';
import fc from 'fast-check';
import { idempotencyKeyPattern, parseIdempotencyKey, parseTraceparent } from '../../src/io/http/headers.ts';
import { assertProblem, placesOf } from './assert-problem.ts';
import { createTestServer } from './stub-desk.ts';

const { app, calls, lastPlaced } = createTestServer();
const place = (headers: Record<string, string>) =>
  app.inject({ method: 'POST', url: '/orders', headers, payload: { userId: 'u', amount: 1 } });

beforeEach(() => calls.splice(0));
after(() => app.close());

describe('the Idempotency-Key header', () => {
  const visible = fc.integer({ min: 0x21, max: 0x7e }).map((code) => String.fromCharCode(code));
  const key = fc.array(visible, { minLength: 1, maxLength: 255 }).map((characters) => characters.join(''));
  const admitted = new RegExp(idempotencyKeyPattern);

  it('means the same key with quotes as without', () => {
    fc.assert(
      fc.property(key, (text) => {
        const quoted = `"${text.replace(/["\\]/g, '\\$&')}"`;
        assert.match(quoted, admitted);
        assert.equal(parseIdempotencyKey(quoted), text);
        if (text.startsWith('"')) return;
        assert.match(text, admitted);
        assert.equal(parseIdempotencyKey(text), text);
      }),
    );
  });

  it('reaches the desk unquoted, up to 255 characters', async () => {
    const longest = 'k'.repeat(255);
    for (const sent of ['abc', '"abc"', longest, `"${longest}"`, '"a\\\\b"', "a\\b'c"]) {
      assert.equal((await place({ 'idempotency-key': sent })).statusCode, 201, sent);
    }
    const keys = calls.map(({ args }) => (args[0] as { key: string }).key);
    assert.deepEqual(keys, ['abc', 'abc', longest, longest, 'a\\b', "a\\b'c"]);
  });

  const invalid: [what: string, value: string][] = [
    ['empty', ''],
    ['empty between quotes', '""'],
    ['too long', 'k'.repeat(256)],
    ['too long between quotes', `"${'k'.repeat(256)}"`],
    ['an open quote', '"abc'],
    ['a lone quote', '"'],
    ['more after the closing quote', '"abc";q=1'],
    ['an unknown escape', '"a\\bc"'],
    ['a blank', 'a b'],
    ['a blank between quotes', '"a b"'],
    ['a tab', 'a\tb'],
    ['a letter beyond ASCII', 'caf\u00e9'],
    ['a repeated header', 'abc, abc'],
    ['a repeated quoted header', '"abc", "abc"'],
  ];
  for (const [what, value] of invalid) {
    it(`is refused when it is or holds ${what}`, async () => {
      const problem = assertProblem(await place({ 'idempotency-key': value }), 400, 'invalid-parameter');
      assert.deepEqual(placesOf(problem), ['header Idempotency-Key']);
      assert.equal(calls.length, 0);
    });
  }

  it('is needed where the setting says so', async () => {
    const strict = createTestServer({ keyMode: 'required' });
    const request = { method: 'POST', url: '/orders', payload: { userId: 'u', amount: 1 } } as const;
    const problem = assertProblem(await strict.app.inject(request), 400, 'invalid-parameter');
    assert.deepEqual(problem.errors, [{ in: 'header', name: 'Idempotency-Key', detail: 'is required' }]);
    assert.equal(strict.calls.length, 0);
    const answer = await strict.app.inject({ ...request, headers: { 'idempotency-key': 'k' } });
    assert.equal(answer.statusCode, 201);
    await strict.app.close();
  });
});

describe('the X-Correlation-Id header', () => {
  const id = '01993b1e-7c3a-7d4e-9f10-2b6c8d0e4f12';

  it('comes back on every answer, also on every error', async () => {
    const requests = [
      { url: '/healthz' },
      { url: '/readyz' },
      { url: '/metrics' },
      { url: '/' },
      { url: '/docs' },
      { url: '/docs/static/index.css' },
      { url: '/docs/static/none.css' },
      { url: '/openapi.json' },
      { url: '/nowhere' },
      { url: '/orders' },
      { url: '/orders/%zz' },
      { url: '/orders/5' },
      { url: `/orders/${id}` },
      { url: '/dlq' },
      { url: '/orders', method: 'POST' },
    ] as const;
    for (const request of requests) {
      const answer = await app.inject({ ...request, headers: { 'x-correlation-id': 'c-42' } });
      assert.equal(answer.headers['x-correlation-id'], 'c-42', request.url);
      const other = await app.inject(request);
      assert.match(String(other.headers['x-correlation-id']), /^[0-9a-f-]{36}$/, request.url);
    }
  });

  it('may have 1 to 128 visible characters and is refused otherwise', async () => {
    for (const value of ['!', '~'.repeat(128)]) {
      assert.equal((await place({ 'x-correlation-id': value })).headers['x-correlation-id'], value);
    }
    calls.splice(0);
    for (const value of ['', 'c'.repeat(129), 'a b', 'a, b', 'caf\u00e9', 'a\tb']) {
      const answer = await place({ 'x-correlation-id': value });
      assert.deepEqual(placesOf(assertProblem(answer, 400, 'invalid-parameter')), ['header X-Correlation-Id']);
      assert.match(String(answer.headers['x-correlation-id']), /^[0-9a-f-]{36}$/);
    }
    assert.equal(calls.length, 0);
  });
});

describe('the traceparent header', () => {
  const traceId = '0af7651916cd43dd8448eb211c80319c';
  const valid = `00-${traceId}-b7ad6b7169203331-01`;

  it('is read when it is valid, a later version by its first four fields', () => {
    assert.deepEqual(parseTraceparent(valid), { traceparent: valid, traceId });
    assert.deepEqual(parseTraceparent(`cc-${valid.slice(3)}-what-comes`), { traceparent: valid, traceId });
  });

  it('is ignored when it is not', async () => {
    const invalid = [
      '',
      `ff-${valid.slice(3)}`,
      `${valid}-more`,
      valid.toUpperCase(),
      `00-${'0'.repeat(32)}-b7ad6b7169203331-01`,
      `00-${traceId}-${'0'.repeat(16)}-01`,
      valid.slice(0, -1),
      `${valid}, ${valid}`,
      `cc-${valid.slice(3)}.what`,
    ];
    for (const value of invalid) assert.equal(parseTraceparent(value), null, value);
    assert.equal((await place({ traceparent: 'nonsense' })).statusCode, 201);
    assert.equal(lastPlaced().traceparent, null);
  });

  it('gives problem documents their trace id', async () => {
    const answer = await app.inject({ url: '/nowhere', headers: { traceparent: valid } });
    assert.equal(assertProblem(answer, 404, 'not-found').traceId, traceId);
  });
});
