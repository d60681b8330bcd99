import assert from 'node:assert/strict';
import { after, beforeEach, describe, it } from 'node:test';
import fc from 'fast-check';
import { cursorPattern, decodeCursor, encodeCursor } from '../../src/io/http/cursor.ts';
import { uuidPattern } from '../../src/io/http/requests.ts';
import { assertProblem, placesOf } from './assert-problem.ts';
import { createTestServer, deadLetterNumber } from './stub-desk.ts';

const { app, calls, deadLetters } = createTestServer();
const post = (url: string, headers: Record<string, string> = {}, payload?: string) =>
  app.inject({ method: 'POST', url, headers, ...(payload === undefined ? {} : { payload }) });

beforeEach(() => {
  calls.splice(0);
  deadLetters.splice(0);
});
after(() => app.close());

describe('the dead-letter list', () => {
  it('shows each dead letter as the contract does', async () => {
    const orderId = '01993b1e-7c3a-7d4e-9f10-000000000001';
    deadLetters.push({ ...deadLetterNumber(1, orderId), eventId: orderId });
    const answer = await app.inject('/dlq');
    assert.equal(answer.statusCode, 200);
    assert.deepEqual(answer.json(), {
      items: [
        {
          id: '01993b1e-7c3a-7d4e-8000-000000000001',
          orderId,
          consumer: 'payment',
          eventId: orderId,
          eventType: 'OrderCreatedV1',
          failureClass: 'retryable',
          code: 'provider-unavailable',
          message: 'the provider is away',
          attempts: 4,
          retryCount: 3,
          failedAt: '2026-11-21T06:59:59.000Z',
          partner: 'payments',
          times: 1,
          closedAt: null,
          closedHow: null,
          order: { status: 'FAILED', amount: 2500, currency: 'EUR', country: 'US' },
        },
      ],
      nextCursor: null,
    });
  });

  it('is read completely and without repetition page by page', async () => {
    deadLetters.push(...Array.from({ length: 7 }, (_, n) => deadLetterNumber(n)));
    const seen: string[] = [];
    let cursor: string | null = null;
    do {
      const answer: { items: { id: string }[]; nextCursor: string | null } = (
        await app.inject(`/dlq?limit=3${cursor === null ? '' : `&cursor=${cursor}`}`)
      ).json();
      seen.push(...answer.items.map(({ id }) => id));
      cursor = answer.nextCursor;
    } while (cursor !== null);
    assert.deepEqual(
      seen,
      deadLetters.map(({ id }) => id),
    );
    assert.equal(calls.length, 3);
  });

  it('passes the filter on, with a page of twenty by default', async () => {
    await app.inject('/dlq?consumer=payment&code=provider-unavailable&limit=100');
    await app.inject('/dlq');
    assert.deepEqual(
      calls.map(({ args }) => JSON.parse(JSON.stringify(args[0]))),
      [
        {
          consumer: 'payment',
          code: 'provider-unavailable',
          from: null,
          to: null,
          limit: 100,
          after: null,
          isClosed: false,
        },
        { from: null, to: null, limit: 20, after: null, isClosed: false },
      ],
    );
  });

  it('takes every part of the filter, and calls no partner by an empty name', async () => {
    const amounts = 'amountMin=0&amountMax=9007199254740991&currency=EUR&country=DE';
    const times = 'from=2026-11-21T07:00:00Z&to=2026-11-21T09:00:00%2B01:00';
    const orderId = '01993B1E-7C3A-7D4E-8000-00000000000E';
    const answer = await app.inject(
      `/dlq?state=closed&partner=none&text=is%20away&${amounts}&${times}&orderId=${orderId}`,
    );
    assert.equal(answer.statusCode, 200);
    assert.deepEqual(calls[0]?.args[0], {
      ...{ country: 'DE', currency: 'EUR', amountMin: 0, amountMax: 9_007_199_254_740_991, text: 'is away' },
      ...{ orderId: orderId.toLowerCase(), partner: '', limit: 20, after: null, isClosed: true },
      ...{ from: new Date('2026-11-21T07:00:00Z'), to: new Date('2026-11-21T08:00:00Z') },
    });
  });

  const refused: [query: string, places: string[]][] = [
    ['limit=0', ['query limit']],
    ['limit=101', ['query limit']],
    ['limit=-1', ['query limit']],
    ['limit=1.5', ['query limit']],
    ['limit=1e1', ['query limit']],
    ['limit=', ['query limit']],
    ['limit=ten', ['query limit']],
    ['limit=99999999999999999999', ['query limit']],
    ['limit=1&limit=2', ['query limit']],
    ['consumer=a&consumer=b', ['query consumer']],
    ['consumer=%00', ['query consumer']],
    ['consumer=', ['query consumer']],
    ['consumer=paymnt', ['query consumer']],
    [`code=${'c'.repeat(65)}`, ['query code']],
    ['code=a%20b', ['query code']],
    ['cursor=', ['query cursor']],
    ['cursor=%00', ['query cursor']],
    ['cursor=a*b', ['query cursor']],
    ['status=open', ['query status']],
    ['__proto__=1', ['query __proto__']],
    ['limit=0&cursor=%20&page=2', ['query cursor', 'query limit', 'query page']],
  ];
  for (const [query, places] of refused) {
    it(`refuses ?${query.slice(0, 40)}`, async () => {
      assert.deepEqual(placesOf(assertProblem(await app.inject(`/dlq?${query}`), 400, 'invalid-parameter')), places);
      assert.equal(calls.length, 0);
    });
  }
});

describe('the cursor', () => {
  const at = fc.integer({ min: 0, max: 0x2fff_ffff_ffff }).map((ms) => new Date(ms));
  const place = fc.record({ at, id: fc.uuid() }, { noNullPrototype: true });
  const admitted = new RegExp(cursorPattern);

  it('is read back as the place that it was made from', () => {
    fc.assert(
      fc.property(place, (at) => {
        const cursor = encodeCursor(at);
        assert.match(cursor, admitted);
        assert.deepEqual(decodeCursor(cursor), at);
      }),
    );
  });

  it('is a place that the store can look for, whatever its pattern admits', () => {
    fc.assert(
      fc.property(fc.stringMatching(admitted), (cursor) => {
        const { at, id } = decodeCursor(cursor);
        assert.equal(encodeCursor({ at, id }), cursor);
        assert.match(id, new RegExp(uuidPattern));
      }),
    );
  });

  const digits = '01993b1e7c3a7d4e9f102b6c8d0e4f12';
  const forged = [
    'abc',
    'x'.repeat(44),
    'f'.repeat(44),
    `01993b1e7c3${digits}`,
    `01993b1e7c3a0${digits}`,
    `01993B1E7C3A${digits}`,
    `01993b1e7c3a${digits}%00`,
    `01993b1e7c3a${digits}%0A`,
  ];
  for (const cursor of forged) {
    it(`${cursor.slice(0, 30)} is refused and never reaches the desk`, async () => {
      const answer = await app.inject(`/dlq?cursor=${cursor}`);
      assert.deepEqual(placesOf(assertProblem(answer, 400, 'invalid-parameter')), ['query cursor']);
      assert.equal(calls.length, 0);
    });
  }
});

describe('reprocessing', () => {
  const nothing = '01993b1e-7c3a-7d4e-9f10-ffffffffffff';

  it('of an order answers 202 and the order', async () => {
    const placed = await app.inject({ method: 'POST', url: '/orders', payload: { userId: 'u', amount: 5 } });
    calls.splice(0);
    const answer = await post(`/dlq/${placed.json().id}/reprocess`, { 'x-correlation-id': 'c-3' });
    assert.equal(answer.statusCode, 202);
    assert.deepEqual(answer.json(), placed.json());
    assert.deepEqual(calls[0]?.args, [placed.json().id, 'c-3']);
  });

  it('of one dead letter answers 202 and its order', async () => {
    const placed = await app.inject({ method: 'POST', url: '/orders', payload: { userId: 'u', amount: 5 } });
    const deadLetter = deadLetterNumber(1, placed.json().id);
    deadLetters.push(deadLetter);
    const answer = await post(`/dlq/letters/${deadLetter.id.toUpperCase()}/reprocess`);
    assert.deepEqual([answer.statusCode, answer.json()], [202, { order: placed.json() }]);
  });

  it('of what has no open dead letter answers 404', async () => {
    assertProblem(await post(`/dlq/${nothing}/reprocess`), 404, 'no-dead-letter');
    assertProblem(await post(`/dlq/letters/${nothing}/reprocess`), 404, 'no-dead-letter');
  });

  it('refuses malformed ids by the name of the parameter', async () => {
    for (const [url, place] of [
      ['/dlq/5/reprocess', 'path orderId'],
      ['/dlq/letters/5/reprocess', 'path id'],
      ['/dlq/letters/reprocess', 'path orderId'],
    ] as const) {
      assert.deepEqual(placesOf(assertProblem(await post(url), 400, 'invalid-parameter')), [place]);
    }
    assert.equal(calls.length, 0);
  });

  it('takes no body, an empty one or an empty object, and refuses fields', async () => {
    const json = { 'content-type': 'application/json' };
    for (const url of [`/dlq/${nothing}/reprocess`, `/dlq/letters/${nothing}/reprocess`]) {
      assertProblem(
        await post(url, { 'content-type': 'application/x-www-form-urlencoded' }, ''),
        404,
        'no-dead-letter',
      );
      assertProblem(await post(url, json, '{}'), 404, 'no-dead-letter');
      assert.equal(calls.splice(0).length, 2);
      assert.deepEqual(placesOf(assertProblem(await post(url, json, '{"force":true}'), 400, 'invalid-body')), [
        '#/force',
      ]);
      assertProblem(await post(url, json, '{'), 400, 'invalid-json');
      assertProblem(await post(url, { 'content-type': 'text/plain' }, 'x'), 415, 'unsupported-media-type');
      assertProblem(await post(`${url}?now=1`), 400, 'invalid-parameter');
      assert.equal(calls.length, 0);
    }
  });
});

describe('discarding', () => {
  const nothing = '01993b1e-7c3a-7d4e-9f10-ffffffffffff';
  const discard = (id: string, payload: object = { reason: 'called by phone' }) =>
    app.inject({ method: 'POST', url: `/dlq/letters/${id}/discard`, headers: { 'x-correlation-id': 'c-4' }, payload });

  it('of one dead letter answers 200 and its order', async () => {
    const placed = await app.inject({ method: 'POST', url: '/orders', payload: { userId: 'u', amount: 5 } });
    calls.splice(0);
    const deadLetter = { ...deadLetterNumber(1, placed.json().id), consumer: 'notification' };
    deadLetters.push(deadLetter);
    const answer = await discard(deadLetter.id.toUpperCase());
    assert.deepEqual([answer.statusCode, answer.json()], [200, { order: placed.json() }]);
    assert.deepEqual(calls[0]?.args, [deadLetter.id, 'called by phone', 'c-4']);
  });

  it('of a core step answers 409, and of what is not open 404', async () => {
    deadLetters.push(deadLetterNumber(1));
    assertProblem(await discard(deadLetters[0]?.id ?? ''), 409, 'order-needs-cancel');
    assertProblem(await discard(nothing), 404, 'no-dead-letter');
  });

  it('without a reason is refused', async () => {
    for (const payload of [{}, { reason: '' }, { reason: ' ' }, { reason: 'x'.repeat(501) }]) {
      assert.deepEqual(placesOf(assertProblem(await discard(nothing, payload), 400, 'invalid-body')), ['#/reason']);
    }
    assert.equal(calls.length, 0);
  });
});
