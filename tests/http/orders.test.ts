import assert from 'node:assert/strict';
import { after, beforeEach, describe, it } from 'node:test';
import { assertProblem, placesOf } from './assert-problem.ts';
import { createTestServer } from './stub-desk.ts';

const { app, calls, orders } = createTestServer();
const unknownId = '01993b1e-7c3a-7d4e-9f10-ffffffffffff';
const placed = async (): Promise<string> => {
  const answer = await app.inject({ method: 'POST', url: '/orders', payload: { userId: 'u', amount: 5 } });
  calls.splice(0);
  return answer.json().id;
};
const cancel = (id: string, payload?: string, headers: Record<string, string> = {}) =>
  app.inject({ method: 'POST', url: `/orders/${id}/cancel`, headers, ...(payload === undefined ? {} : { payload }) });

beforeEach(() => calls.splice(0));
after(() => app.close());

describe('reading an order', () => {
  it('answers the order as it stands', async () => {
    const id = await placed();
    const answer = await app.inject(`/orders/${id}`);
    assert.equal(answer.statusCode, 200);
    assert.equal(answer.json().id, id);
    assert.equal('paymentScenario' in answer.json() || 'traceparent' in answer.json(), false);
  });

  it('finds the order by its id in capital letters too', async () => {
    const id = await placed();
    assert.equal((await app.inject(`/orders/${id.toUpperCase()}`)).json().id, id);
  });

  it('answers 404 for an order that does not exist', async () => {
    assertProblem(await app.inject(`/orders/${unknownId}`), 404, 'order-not-found');
    assertProblem(await app.inject(`/orders/${unknownId}/timeline`), 404, 'order-not-found');
    assertProblem(await cancel(unknownId), 404, 'order-not-found');
  });

  it('answers HEAD like GET without the body', async () => {
    const answer = await app.inject({ method: 'HEAD', url: `/orders/${await placed()}` });
    assert.equal(answer.statusCode, 200);
    assert.equal(answer.body, '');
  });

  const malformed = [
    'x',
    '5',
    `${unknownId}0`,
    unknownId.slice(1),
    `urn:uuid:${unknownId}`,
    `{${unknownId}}`,
    unknownId.replaceAll('-', ''),
    '%00',
    `${unknownId}%00`,
    '%F0%9F%98%80',
    'a'.repeat(8_000),
  ];
  for (const id of malformed) {
    it(`refuses the id ${id.slice(0, 50)} on every route of orders`, async () => {
      for (const answer of [
        await app.inject(`/orders/${id}`),
        await app.inject(`/orders/${id}/timeline`),
        await cancel(id),
      ]) {
        assert.deepEqual(placesOf(assertProblem(answer, 400, 'invalid-parameter')), ['path id']);
      }
      assert.equal(calls.length, 0);
    });
  }

  it('refuses a path that is not valid percent-encoding', async () => {
    for (const path of ['/orders/%', '/orders/%zz', '/orders/%c3%28']) {
      assertProblem(await app.inject(path), 400, 'bad-request');
    }
    assert.equal(calls.length, 0);
  });

  it('refuses query parameters, which it has none of', async () => {
    for (const path of [`/orders/${unknownId}?full=1`, `/orders/${unknownId}/timeline?full=1`]) {
      assert.deepEqual(placesOf(assertProblem(await app.inject(path), 400, 'invalid-parameter')), ['query full']);
    }
    assert.equal(calls.length, 0);
  });
});

describe('the timeline of an order', () => {
  it('has an entry for each thing that happened, with nulls where nothing is known', async () => {
    const id = await placed();
    const answer = await app.inject(`/orders/${id}/timeline`);
    const { correlationId } = (await app.inject(`/orders/${id}`)).json();
    assert.deepEqual(answer.json(), {
      items: [
        {
          at: '2026-11-21T07:00:00.000Z',
          type: 'OrderCreatedV1',
          consumer: null,
          attempt: null,
          outcome: null,
          code: null,
          text: 'The order was placed.',
          eventId: id,
          correlationId,
          causationId: null,
          durationMs: null,
          until: null,
          waitsFor: null,
          traceId: null,
        },
      ],
    });
  });
});

describe('canceling an order', () => {
  it('passes the reason on and answers the canceled order', async () => {
    const id = await placed();
    const answer = await cancel(id, '{"reason":"ordered twice"}', {
      'content-type': 'application/json',
      'x-correlation-id': 'c-9',
    });
    assert.equal(answer.statusCode, 200);
    assert.equal(answer.json().status, 'CANCELED');
    assert.deepEqual(answer.json().reason, { code: 'canceled-by-request', message: 'ordered twice' });
    assert.deepEqual(calls[0]?.args, [id, 'ordered twice', 'c-9']);
  });

  it('needs no body, whatever the content type says', async () => {
    const id = await placed();
    for (const type of [
      undefined,
      'application/json',
      'text/plain',
      'application/x-www-form-urlencoded',
      'nonsense',
      '',
    ]) {
      for (const payload of [undefined, '']) {
        const answer = await cancel(id, payload, type === undefined ? {} : { 'content-type': type });
        assert.equal(answer.statusCode, 200, `${type}: ${answer.body}`);
      }
    }
    assert.deepEqual(new Set(calls.map(({ args }) => args[1])), new Set([null]));
  });

  it('takes an empty object or null for no reason', async () => {
    const id = await placed();
    for (const payload of ['{}', 'null']) {
      assert.equal((await cancel(id, payload, { 'content-type': 'application/json' })).statusCode, 200);
    }
  });

  const refused: [body: string, place: string][] = [
    ['[]', '#'],
    ['"why"', '#'],
    ['{"reason":""}', '#/reason'],
    ['{"reason":5}', '#/reason'],
    ['{"reason":null}', '#/reason'],
    ['{"reason":"a\\u0000"}', '#/reason'],
    ['{"reason":"\\ud800"}', '#/reason'],
    [`{"reason":"${'a'.repeat(501)}"}`, '#/reason'],
    ['{"why":"a"}', '#/why'],
    ['{"__proto__":{"reason":"a"}}', '#/__proto__'],
  ];
  for (const [body, pointer] of refused) {
    it(`refuses the body ${body.slice(0, 40)} at ${pointer}`, async () => {
      const answer = await cancel(unknownId, body, { 'content-type': 'application/json' });
      assert.deepEqual(placesOf(assertProblem(answer, 400, 'invalid-body')), [pointer]);
      assert.equal(calls.length, 0);
    });
  }

  it('refuses a body of another media type', async () => {
    assertProblem(await cancel(unknownId, 'why', { 'content-type': 'text/plain' }), 415, 'unsupported-media-type');
    assertProblem(await cancel(unknownId, '{}'), 415, 'unsupported-media-type');
    assert.equal(calls.length, 0);
  });

  it('answers 409 for an order that is processed', async () => {
    const id = await placed();
    const order = orders.get(id);
    assert.ok(order);
    orders.set(id, { ...order, status: 'PROCESSED' });
    assertProblem(await cancel(id), 409, 'order-already-processed');
  });
});
