import assert from 'node:assert/strict';
import { after, beforeEach, describe, it } from 'node:test';
import { refusalCodes, refuse } from '../../src/domain/refusals.ts';
import { UnavailableError } from '../../src/engine/ports.ts';
import type { OrderDesk } from '../../src/flow/ports.ts';
import { assertProblem } from './assert-problem.ts';
import { createStubDesk, createTestServer } from './stub-desk.ts';

const { app, calls, fault, logged } = createTestServer();
const id = '01993b1e-7c3a-7d4e-9f10-2b6c8d0e4f12';
const place = (headers: Record<string, string> = {}) =>
  app.inject({ method: 'POST', url: '/orders', headers, payload: { userId: 'u', amount: 1 } });
// One request for each call that a desk has.
const asks = [
  { method: 'POST', url: '/orders', payload: { userId: 'u', amount: 1 } },
  { method: 'GET', url: `/orders/${id}` },
  { method: 'GET', url: `/orders/${id}/timeline` },
  { method: 'POST', url: `/orders/${id}/cancel` },
  { method: 'GET', url: '/dlq' },
  { method: 'POST', url: `/dlq/${id}/reprocess` },
  { method: 'POST', url: `/dlq/letters/${id}/reprocess` },
] as const;

beforeEach(() => {
  fault.error = undefined;
  logged.splice(0);
  calls.splice(0);
});
after(() => app.close());

describe('an address', () => {
  it('that no route has answers 404, with any method and any body', async () => {
    for (const url of ['/nowhere', `/orders/${id}/refund`, '/Orders', '/docs/static/.env', '/docs/static/none.js']) {
      assertProblem(await app.inject({ method: 'GET', url }), 404, 'not-found');
    }
    for (const method of ['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'] as const) {
      const answer = await app.inject({
        method,
        url: '/nowhere',
        payload: '{',
        headers: { 'content-type': 'text/xml' },
      });
      assertProblem(answer, 404, 'not-found');
    }
  });

  it('that exists answers 405 to a wrong method and names the right ones', async () => {
    const wrong = [
      ['GET', `/orders/${id}/cancel?limit=5`, 'POST'],
      ['HEAD', `/orders/${id}/cancel`, 'POST'],
      ['DELETE', '/orders', 'GET, HEAD, POST'],
      ['OPTIONS', '/orders', 'GET, HEAD, POST'],
      ['PUT', `/orders/${id}`, 'GET, HEAD'],
      ['PATCH', '/orders/not-an-id', 'GET, HEAD'],
      ['GET', `/orders/${id}/cancel`, 'POST'],
      ['POST', `/orders/${id}/timeline`, 'GET, HEAD'],
      ['POST', '/dlq', 'GET, HEAD'],
      ['GET', `/dlq/${id}/reprocess`, 'POST'],
      ['DELETE', `/dlq/letters/${id}/reprocess`, 'POST'],
      ['POST', '/healthz', 'GET, HEAD'],
      ['POST', '/', 'GET, HEAD'],
    ] as const;
    for (const [method, url, allow] of wrong) {
      const answer = await app.inject({ method, url, payload: '{' });
      assert.equal(answer.headers.allow, allow, `${method} ${url}`);
      if (method === 'HEAD') assert.equal(answer.statusCode, 405);
      else assertProblem(answer, 405, 'method-not-allowed');
    }
    assert.equal(calls.length, 0);
  });
});

describe('a slash at the end', () => {
  it('changes nothing', async () => {
    const request = { method: 'POST', url: '/orders/', payload: { userId: 'u', amount: 1 } } as const;
    assert.equal((await app.inject(request)).statusCode, 201);
    assertProblem(await app.inject(`/orders/${id}/`), 404, 'order-not-found');
    assert.equal((await app.inject({ method: 'PUT', url: '/orders/' })).headers.allow, 'GET, HEAD, POST');
  });
});

describe('a refusal', () => {
  const statuses: Record<string, number> = {
    'order-not-found': 404,
    'no-dead-letter': 404,
    'no-replay': 404,
    'idempotency-key-reused': 422,
    'invalid-order': 400,
  };
  for (const code of refusalCodes) {
    it(`of code ${code} becomes its problem on every route`, async () => {
      const no = async () => refuse(code, 'Because.');
      const { deadLetters, find, count, analytics } = createStubDesk().desk;
      const desk: OrderDesk = {
        place: no,
        read: no,
        timeline: no,
        find,
        count,
        cancel: no,
        deadLetters,
        analytics,
        reprocess: no,
        reprocessDeadLetter: no,
        discardDeadLetter: no,
        correctDeadLetter: no,
      };
      const refusing = createTestServer({}, { desk });
      for (const ask of asks.filter(({ url }) => url !== '/dlq')) {
        const problem = code === 'invalid-order' ? 'invalid-body' : code;
        assertProblem(await refusing.app.inject(ask), statuses[code] ?? 409, problem);
      }
      await refusing.app.close();
    });
  }
});

describe('a store that is away', () => {
  it('is 503 with Retry-After in whole seconds when nothing was stored', async () => {
    for (const [ms, seconds] of [
      [0, '1'],
      [1, '1'],
      [1_000, '1'],
      [1_001, '2'],
      [30_000, '30'],
    ] as const) {
      fault.error = new UnavailableError('nothing', 'connect ECONNREFUSED 10.0.0.5:5432', ms);
      for (const ask of asks) {
        const answer = await app.inject(ask);
        assertProblem(answer, 503, 'unavailable');
        assert.equal(answer.headers['retry-after'], seconds);
        assert.doesNotMatch(answer.body, /ECONNREFUSED/);
      }
    }
  });

  it('is 504 when the order may be stored, saying how to repeat it', async () => {
    fault.error = new UnavailableError('unknown', 'the connection was lost');
    const withKey = assertProblem(await place({ 'idempotency-key': 'k' }), 504, 'outcome-unknown');
    assert.match(withKey.detail, /Repeat the request with the same Idempotency-Key/);
    const without = assertProblem(await place(), 504, 'outcome-unknown');
    assert.match(without.detail, /without an Idempotency-Key may place a second order/);
    const cancel = await app.inject({ method: 'POST', url: `/orders/${id}/cancel` });
    assertProblem(cancel, 504, 'outcome-unknown');
    assert.equal(logged.filter(({ level }) => level === 'warn').length, 3);
  });

  it('is 503 for a read in any case, because a read stores nothing', async () => {
    fault.error = new UnavailableError('unknown', 'the connection was lost');
    for (const ask of asks.filter(({ method }) => method === 'GET')) {
      assert.doesNotMatch(assertProblem(await app.inject(ask), 503, 'unavailable').detail, /stored/);
    }
  });
});

describe('an error that nobody foresaw', () => {
  it('is 500 on every route, tells the caller nothing and the log everything', async () => {
    for (const error of [new Error('SELECT * FROM orders at /srv/app.ts'), 'a string', { statusCode: 200 }, null]) {
      fault.error = error ?? Object.create(null);
      for (const ask of asks) {
        logged.splice(0);
        const problem = assertProblem(await app.inject(ask), 500, 'internal-error');
        const fields = logged.find(({ level }) => level === 'error')?.fields as Record<string, unknown> | undefined;
        assert.deepEqual([fields?.err, fields?.correlationId], [fault.error, problem.correlationId]);
      }
    }
  });

  it('is 500 also when an answer cannot be written', async () => {
    const { desk } = createStubDesk();
    const broken = createTestServer({}, { desk: { ...desk, read: async () => ({ id: 5 }) as never } });
    assertProblem(await broken.app.inject(`/orders/${id}`), 500, 'internal-error');
    await broken.app.close();
  });
});

describe('an answer', () => {
  it('is one line of the log at debug, with route, status and correlation id', async () => {
    await app.inject({ url: '/healthz', headers: { 'x-correlation-id': 'c-7' } });
    const [{ level, message, fields }] = logged as [(typeof logged)[number]];
    const { ms, ...rest } = fields as { ms: unknown };
    assert.deepEqual(
      [level, message, rest],
      ['debug', 'answered', { method: 'GET', route: '/healthz', status: 200, correlationId: 'c-7' }],
    );
    assert.equal(typeof ms, 'number');
  });
});
