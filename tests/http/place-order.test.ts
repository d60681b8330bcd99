import assert from 'node:assert/strict';
import { after, beforeEach, describe, it } from 'node:test';
import fc from 'fast-check';
import { ProblemError } from '../../src/io/http/problems.ts';
import { parseStrictly } from '../../src/io/http/strict-json.ts';
import { assertProblem, placesOf } from './assert-problem.ts';
import { createTestServer } from './stub-desk.ts';

const { app, calls, orders, lastPlaced } = createTestServer();
const json = { 'content-type': 'application/json' };
const place = (body: unknown, headers: Record<string, string> = {}) =>
  app.inject({
    method: 'POST',
    url: '/orders',
    headers: { ...json, ...headers },
    payload: typeof body === 'string' ? body : JSON.stringify(body),
  });
const line = { sku: 'lamp', quantity: 2, unitPrice: 1250 };
const valid = { userId: 'u-1', items: [line] };

beforeEach(() => calls.splice(0));
after(() => app.close());

describe('placing an order', () => {
  it('accepts the three bodies that the contract shows', async () => {
    const bodies = [
      { customerEmail: 'user@example.com', productType: 'Phone', country: 'US', paymentScenario: 'success' },
      { user_id: 'u-1', amount: 1999 },
      { customerEmail: 'a@example.com', currency: 'EUR', items: [{ sku: 'lamp', quantity: 2, unitPrice: 1250 }] },
    ];
    const amounts = [];
    for (const body of bodies) {
      const answer = await place(body);
      assert.equal(answer.statusCode, 201, answer.body);
      amounts.push(answer.json().amount);
    }
    assert.deepEqual(amounts, [79_900, 1999, 2500]);
  });

  it('answers 201 with the order as the contract shows it and its address', async () => {
    const answer = await place({ ...valid, currency: 'EUR', paymentScenario: 'flaky' }, { 'x-correlation-id': 'c-1' });
    const { id } = answer.json();
    assert.equal(answer.statusCode, 201);
    assert.equal(answer.headers.location, `/orders/${id}`);
    assert.equal(answer.headers['content-type'], 'application/json; charset=utf-8');
    assert.equal(answer.headers['x-correlation-id'], 'c-1');
    assert.equal(answer.headers['idempotent-replayed'], undefined);
    assert.deepEqual(answer.json(), {
      id,
      status: 'PENDING',
      payment: 'none',
      fulfillment: 'none',
      retryCount: 0,
      amount: 2500,
      currency: 'EUR',
      country: 'US',
      items: [line],
      customerEmail: null,
      userId: 'u-1',
      productType: null,
      reason: null,
      correlationId: 'c-1',
      version: 1,
      createdAt: '2026-11-21T07:00:00.000Z',
      updatedAt: '2026-11-21T07:00:00.000Z',
    });
  });

  it('takes a whole number in every spelling that JSON has for it', async () => {
    for (const amount of ['500', '500.0', '5e2', '5.00E+2', '0.5e3', '50000e-2', '0.05e4']) {
      const answer = await place(`{"userId":"u","amount":${amount}}`);
      assert.equal(answer.json().amount, 500, amount);
    }
  });

  it('answers a repeated key with the first answer, even after the order moved on', async () => {
    const body = { user_id: 'u-1', amount: 700 };
    const first = await place(body, { 'idempotency-key': 'again', 'x-correlation-id': 'first' });
    const { id } = first.json();
    const order = orders.get(id);
    assert.ok(order);
    orders.set(id, { ...order, status: 'PROCESSED', payment: 'authorized', version: 3 });
    const second = await place('{ "amount": 7e2,\n "user_id": "u\\u002d1" }', {
      'idempotency-key': '"again"',
      'x-correlation-id': 'second',
    });
    assert.equal(second.statusCode, 201);
    assert.equal(second.body, first.body);
    assert.equal(second.headers.location, first.headers.location);
    assert.equal(second.headers['x-correlation-id'], 'first');
    assert.equal(second.headers['idempotent-replayed'], 'true');
  });

  it('refuses a used key with another payload, and defaults written out are another payload', async () => {
    await place(valid, { 'idempotency-key': 'reused' });
    assertProblem(
      await place({ ...valid, currency: 'USD' }, { 'idempotency-key': 'reused' }),
      422,
      'idempotency-key-reused',
    );
  });

  it('hands the desk the body as received, without defaults, and what the headers say', async () => {
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    await place(valid, { 'idempotency-key': '"a\\"b"', 'x-correlation-id': 'c', traceparent });
    assert.deepEqual(lastPlaced(), {
      command: valid,
      received: valid,
      key: 'a"b',
      correlationId: 'c',
      traceparent,
    });
  });

  it('treats each request without a key as a new order', async () => {
    const ids = [(await place(valid)).json().id, (await place(valid)).json().id];
    assert.notEqual(ids[0], ids[1]);
    assert.equal(lastPlaced().key, null);
  });

  it('accepts values at the very edge of what is allowed', async () => {
    const most = { sku: 's'.repeat(100), quantity: 10_000, unitPrice: 1 };
    const bodies = [
      { userId: 'u', items: [most, ...Array(99).fill({ ...most, unitPrice: 0 })] },
      { userId: 'u'.repeat(255), items: [{ sku: '灯', quantity: 9007, unitPrice: 1_000_000_000_000 }] },
      { userId: '😀'.repeat(255), amount: Number.MAX_SAFE_INTEGER },
      { userId: 'u', user_id: 'u', amount: 1, currency: 'JPY', country: 'DE' },
      { customerEmail: `${'a'.repeat(64)}@${'b'.repeat(63)}.example.com`, amount: 1 },
    ];
    for (const body of bodies) assert.equal((await place(body)).statusCode, 201, JSON.stringify(body).slice(0, 80));
  });
});

const item = (change: object) => ({ ...valid, items: [{ ...line, ...change }] });
const without = (name: string) => {
  const { [name as 'sku']: _, ...rest } = line;
  return { ...valid, items: [line, rest] };
};

// Each constraint of the body, and the one place that a broken one is reported at.
const broken: [promise: string, body: unknown, place: string][] = [
  ['a body that is an array', [], '#'],
  ['a body that is null', null, '#'],
  ['a body that is text', '"order"', '#'],
  ['an empty body', '', '#'],
  ['an unknown field', { ...valid, discount: 5 }, '#/discount'],
  ['an unknown field whose name needs escaping', { ...valid, 'a/b~c d%': 5 }, '#/a~1b~0c%20d%25'],
  ['a field named __proto__', '{"userId":"u","amount":1,"__proto__":{"admin":true}}', '#/__proto__'],
  ['a field named constructor', { ...valid, constructor: { prototype: {} } }, '#/constructor'],
  ['an unknown field of a line', item({ color: 'red' }), '#/items/0/color'],
  [
    'a line with a field named __proto__',
    '{"userId":"u","items":[{"sku":"s","quantity":1,"unitPrice":1,"__proto__":1}]}',
    '#/items/0/__proto__',
  ],
  ['an e-mail address without a domain', { customerEmail: 'a@', amount: 1 }, '#/customerEmail'],
  ['an e-mail address that is a number', { customerEmail: 5, amount: 1 }, '#/customerEmail'],
  [
    'an e-mail address of 255 characters',
    { customerEmail: `${'a'.repeat(243)}@example.com`, amount: 1 },
    '#/customerEmail',
  ],
  ['an e-mail address with a line break', { customerEmail: 'a@example.com\nbcc: b', amount: 1 }, '#/customerEmail'],
  [
    'an e-mail address whose local part has 65 characters',
    { customerEmail: `${'a'.repeat(65)}@example.com`, amount: 1 },
    '#/customerEmail',
  ],
  [
    'an e-mail address of a domain with a label of 64 characters',
    { customerEmail: `a@${'b'.repeat(64)}.com`, amount: 1 },
    '#/customerEmail',
  ],
  ['an empty user id', { userId: '', amount: 1 }, '#/userId'],
  ['a user id that is null', { userId: null, amount: 1 }, '#/userId'],
  ['a user id of 256 characters', { userId: 'u'.repeat(256), amount: 1 }, '#/userId'],
  ['a user id with U+0000', '{"userId":"u\\u0000","amount":1}', '#/userId'],
  ['a user id with half a surrogate pair', '{"userId":"u\\ud83d","amount":1}', '#/userId'],
  ['a user id that ends with a line break', { userId: 'u\n', amount: 1 }, '#/userId'],
  ['a user id that begins with a blank of Unicode', { userId: '\u3000u', amount: 1 }, '#/userId'],
  ['a user id that ends with a byte order mark', { userId: 'u\ufeff', amount: 1 }, '#/userId'],
  ['an unknown field whose name is half of a surrogate pair', '{"userId":"u","amount":1,"\\ud83d":1}', '#/%EF%BF%BD'],
  ['a user id of blanks', { userId: '  ', amount: 1 }, '#/userId'],
  ['the other user id with U+0000', '{"user_id":"\\u0000u","amount":1}', '#/user_id'],
  ['the other user id being a number', { user_id: 7, amount: 1 }, '#/user_id'],
  ['lines that are no array', { ...valid, items: line }, '#/items'],
  ['no line', { ...valid, items: [] }, '#/items'],
  ['101 lines', { ...valid, items: Array.from({ length: 101 }, () => line) }, '#/items'],
  ['a line that is no object', { ...valid, items: [line, 'lamp'] }, '#/items/1'],
  ['a line without sku', without('sku'), '#/items/1/sku'],
  ['a line without quantity', without('quantity'), '#/items/1/quantity'],
  ['a line without price', without('unitPrice'), '#/items/1/unitPrice'],
  ['an empty sku', item({ sku: '' }), '#/items/0/sku'],
  ['a sku of 101 characters', item({ sku: 's'.repeat(101) }), '#/items/0/sku'],
  ['a sku with U+0000', '{"userId":"u","items":[{"sku":"a\\u0000b","quantity":1,"unitPrice":1}]}', '#/items/0/sku'],
  [
    'a sku with half a surrogate pair',
    '{"userId":"u","items":[{"sku":"\\udc00","quantity":1,"unitPrice":1}]}',
    '#/items/0/sku',
  ],
  ['a quantity of zero', item({ quantity: 0 }), '#/items/0/quantity'],
  ['a quantity of 10001', item({ quantity: 10_001 }), '#/items/0/quantity'],
  ['a quantity with a fraction', item({ quantity: 1.5 }), '#/items/0/quantity'],
  ['a quantity in quotes', item({ quantity: '1' }), '#/items/0/quantity'],
  ['a negative price', item({ unitPrice: -1 }), '#/items/0/unitPrice'],
  ['a price above 10^12', item({ unitPrice: 1_000_000_000_001 }), '#/items/0/unitPrice'],
  ['a price with a fraction', item({ unitPrice: 12.5 }), '#/items/0/unitPrice'],
  ['an unknown product', { userId: 'u', productType: 'Watch' }, '#/productType'],
  ['an amount of zero', { userId: 'u', amount: 0 }, '#/amount'],
  ['an amount with a fraction', { userId: 'u', amount: 0.5 }, '#/amount'],
  ['an amount that rounds to a whole number', '{"userId":"u","amount":0.99999999999999999}', '#/amount'],
  ['an amount that rounds to one from above', '{"userId":"u","amount":500.00000000000000001}', '#/amount'],
  ['an amount with a negative exponent', '{"userId":"u","amount":99999999999999999999e-17}', '#/amount'],
  [
    'a quantity that rounds to a whole number',
    '{"userId":"u","items":[{"sku":"a.1e-1","quantity":1,"unitPrice":1},{"sku":"b","quantity":1.00000000000000001,"unitPrice":1}]}',
    '#/items/1/quantity',
  ],
  ['an amount that rounds to nothing', '{"userId":"u","amount":1e-400}', '#/amount'],
  ['an amount above 2^53-1', '{"userId":"u","amount":9007199254740993}', '#/amount'],
  ['an amount that no number can hold', '{"userId":"u","amount":1e400}', '#/amount'],
  ['an amount that is true', { userId: 'u', amount: true }, '#/amount'],
  ['a currency in lower case', { ...valid, currency: 'eur' }, '#/currency'],
  ['a currency of four letters', { ...valid, currency: 'EURO' }, '#/currency'],
  ['a country of three letters', { ...valid, country: 'DEU' }, '#/country'],
  ['a country in lower case', { ...valid, country: 'de' }, '#/country'],
  ['an unknown payment scenario', { ...valid, paymentScenario: 'bribe' }, '#/paymentScenario'],
  [
    'nesting as deep as the body is long',
    `{"userId":"u","items":${'['.repeat(30_000)}${']'.repeat(30_000)}}`,
    '#/items/0',
  ],
];

describe('a body that the schema refuses', () => {
  for (const [promise, body, pointer] of broken) {
    it(`${promise} is refused at ${pointer} and never reaches the desk`, async () => {
      const problem = assertProblem(await place(body), 400, 'invalid-body');
      assert.deepEqual(placesOf(problem), [pointer]);
      assert.ok(problem.errors?.every(({ detail }) => /^(must|is) /.test(detail)));
      assert.equal(calls.length, 0);
    });
  }

  it('has every mistake listed at once', async () => {
    const body = { userId: '', items: [{ sku: 'a', quantity: 0 }], currency: 'x', country: 5, extra: 1 };
    assert.deepEqual(placesOf(assertProblem(await place(body), 400, 'invalid-body')), [
      '#/country',
      '#/currency',
      '#/extra',
      '#/items/0/quantity',
      '#/items/0/unitPrice',
      '#/userId',
    ]);
  });

  it('has at most fifty mistakes listed, however many it holds', async () => {
    const problem = assertProblem(await place(`{"items":[${Array(100).fill('{}').join()}]}`), 400, 'invalid-body');
    assert.equal(problem.errors?.length, 50);
    assert.match(problem.detail, /50 mistakes or more/);
  });

  it('is not looked at entry by entry where it has more of them than any order', async () => {
    const many = (count: number, part: (nth: number) => string) =>
      Array.from({ length: count }, (_, nth) => part(nth)).join();
    const bodies: [text: string, place: string, detail: string][] = [
      [`{"items":[${many(20_000, () => '{}')}]}`, '#/items', 'must have 1 to 100 entries'],
      [`{"userId":[${many(20_000, () => '1')}]}`, '#/userId', 'must have 1 to 100 entries'],
      [`{"items":[{},{${many(5_000, (nth) => `"${nth}":1`)}}]}`, '#/items/1', 'must have at most 100 members'],
      [`{${many(5_000, (nth) => `"${nth}":1`)}}`, '#', 'must have at most 100 members'],
    ];
    for (const [text, pointer, detail] of bodies) {
      const problem = assertProblem(await place(text), 400, 'invalid-body');
      assert.deepEqual(problem.errors, [{ pointer, detail }]);
    }
  });

  it('is told what is allowed', async () => {
    const problem = assertProblem(await place({ userId: 'u', productType: 'Watch', color: 1 }), 400, 'invalid-body');
    const details = Object.fromEntries((problem.errors ?? []).map(({ pointer, detail }) => [pointer, detail]));
    assert.equal(details['#/productType'], 'must be one of Phone, Laptop, Tablet, Accessory');
    assert.match(details['#/color'] ?? '', /^is unknown; allowed are customerEmail, userId, /);
  });
});

// What no schema can say comes back from the desk and looks the same to the client.
const refused: [promise: string, body: object, place: string][] = [
  ['no customer', { amount: 1 }, '#/customerEmail'],
  ['two user ids that differ', { userId: 'a', user_id: 'b', amount: 1 }, '#/user_id'],
  ['nothing to buy', { userId: 'u' }, '#/items'],
  ['lines and an amount', { ...valid, amount: 1 }, '#/amount'],
  ['a product and an amount', { userId: 'u', productType: 'Phone', amount: 1 }, '#/amount'],
  ['a product in another currency', { userId: 'u', productType: 'Phone', currency: 'EUR' }, '#/currency'],
  ['a total of nothing', { userId: 'u', items: [{ ...line, unitPrice: 0 }] }, '#/items'],
  ['a total above 2^53-1', { userId: 'u', items: [{ sku: 's', quantity: 10_000, unitPrice: 1e12 }] }, '#/items'],
  ['a currency that does not exist', { ...valid, currency: 'ABC' }, '#/currency'],
  ['a country that does not exist', { ...valid, country: 'XX' }, '#/country'],
];

// The last of two would win, and a proxy in front may have read the first.
const doubled: [promise: string, body: string, place: string][] = [
  ['an amount', '{"user_id":"u","amount":5,"amount":500}', '#/amount'],
  ['an amount of the same value', '{"user_id":"u","amount":5,"amount":5}', '#/amount'],
  ['a name in another spelling', '{"user_id":"u","amount":5,"am\\u006funt":500}', '#/amount'],
  [
    'a price in a later line',
    '{"user_id":"u","items":[{"sku":"a","quantity":1,"unitPrice":1},{"sku":"b","unitPrice":1,"quantity":2,"unitPrice":9}]}',
    '#/items/1/unitPrice',
  ],
  ['__proto__', '{"user_id":"u","amount":5,"__proto__":1,"__proto__":2}', '#/__proto__'],
  ['a name that needs escaping', '{"a/b~":1,"a/b~":2}', '#/a~1b~0'],
  ['an empty name', '{"":1,"":2}', '#/'],
];

describe('a member that stands twice', () => {
  for (const [promise, body, pointer] of doubled) {
    it(`is refused by name: ${promise}`, async () => {
      const problem = assertProblem(await place(body), 400, 'invalid-body');
      assert.deepEqual(placesOf(problem), [pointer]);
      assert.match(problem.errors?.[0]?.detail ?? '', /^is there twice/);
      assert.equal(calls.length, 0);
    });
  }

  it('in two objects is no repetition, and neither is a text that looks like one', async () => {
    const texts = ['{"', '"a":1,', '\\', 'a\\"b', '[0.0, 1e-1]', '}'];
    const items = texts.map((sku) => ({ ...line, sku }));
    assert.equal((await place({ userId: '"userId":"u"', items })).statusCode, 201);
    assert.deepEqual(lastPlaced().command.items, items);
  });

  it('is found wherever a strict reader finds one, and nothing else is', () => {
    type Written = { readonly text: string; readonly isDoubled: boolean };
    const name = fc.constantFrom('a', 'b', '"', '\\', '/', '');
    const word = fc.constantFrom('1', '-0', '"}"', '"\\""', '"\\"a\\" : 1"', 'true', 'null', '[]', '{}', '2E+1');
    const { value } = fc.letrec<{ value: Written }>((tie) => ({
      value: fc.oneof(
        { maxDepth: 3 },
        word.map((text) => ({ text, isDoubled: false })),
        fc.array(tie('value'), { maxLength: 3 }).map((values) => ({
          text: `[${values.map(({ text }) => text).join(' , ')}]`,
          isDoubled: values.some(({ isDoubled }) => isDoubled),
        })),
        fc.array(fc.tuple(name, tie('value')), { maxLength: 4 }).map((members) => ({
          text: `{${members.map(([key, { text }]) => `${JSON.stringify(key)} : ${text}`).join()}}`,
          isDoubled:
            members.some(([, { isDoubled }]) => isDoubled) ||
            new Set(members.map(([key]) => key)).size < members.length,
        })),
      ),
    }));
    let doubles = 0;
    fc.assert(
      fc.property(value, ({ text, isDoubled }) => {
        doubles += isDoubled ? 1 : 0;
        if (isDoubled) assert.throws(() => parseStrictly(text), ProblemError);
        else assert.deepEqual(parseStrictly(text), JSON.parse(text));
      }),
    );
    assert.ok(doubles > 0);
  });
});

describe('an order that the rules refuse', () => {
  for (const [promise, body, pointer] of refused) {
    it(`${promise} is an invalid body at ${pointer}`, async () => {
      assert.deepEqual(placesOf(assertProblem(await place(body), 400, 'invalid-body')), [pointer]);
    });
  }

  it('with real partners the payment scenario is an unknown field', async () => {
    const real = createTestServer({ simulatedPartners: false });
    const payload = { ...valid, paymentScenario: 'success' };
    const answer = await real.app.inject({ method: 'POST', url: '/orders', payload });
    assert.deepEqual(placesOf(assertProblem(answer, 400, 'invalid-body')), ['#/paymentScenario']);
    assert.equal(real.calls.length, 0);
    await real.app.close();
  });
});

describe('a body that cannot be read', () => {
  const send = (payload: string | Buffer, headers: Record<string, string>) =>
    app.inject({ method: 'POST', url: '/orders', payload, headers });

  it('is refused with 400 when it is not JSON, saying where', async () => {
    for (const payload of ['{', '{"userId":"u",}', 'userId=u', "{'userId':'u'}", 'NaN', '\ufeff{}']) {
      assert.match(assertProblem(await send(payload, json), 400, 'invalid-json').detail, /^The body is not JSON: /);
    }
    assert.equal(calls.length, 0);
  });

  it('is refused with 400 when it is not UTF-8, instead of being repaired', async () => {
    const payload = Buffer.from('{"userId":"\xe4","amount":1}', 'latin1');
    assertProblem(await send(payload, json), 400, 'invalid-json');
    assert.equal(calls.length, 0);
  });

  it('is refused with 415 when it is of another media type, charset or encoding, or of none', async () => {
    const payload = JSON.stringify(valid);
    for (const type of [
      'text/plain',
      'application/xml',
      'application/x-www-form-urlencoded',
      'json',
      ';',
      'application/jsonp',
      'application/json; charset=utf-16',
    ]) {
      assertProblem(await send(payload, { 'content-type': type }), 415, 'unsupported-media-type');
    }
    assertProblem(await send(payload, {}), 415, 'unsupported-media-type');
    assertProblem(await send(payload, { ...json, 'content-encoding': 'gzip' }), 415, 'unsupported-media-type');
    assert.equal(calls.length, 0);
  });

  it('is accepted as JSON in every spelling of its media type', async () => {
    for (const type of [
      'application/json; charset=utf-8',
      'Application/JSON;charset="UTF-8"',
      'application/json ; v=1',
    ]) {
      assert.equal((await send(JSON.stringify(valid), { 'content-type': type })).statusCode, 201, type);
    }
  });

  it('is refused with 413 above 64 KiB and accepted up to there', async () => {
    const padded = (length: number) => JSON.stringify(valid).padEnd(length, ' ');
    assert.equal((await send(padded(65_536), json)).statusCode, 201);
    calls.splice(0);
    assertProblem(await send(padded(65_537), json), 413, 'body-too-large');
    assert.equal(calls.length, 0);
  });

  it('is refused with 400 when the query has parameters', async () => {
    const answer = await app.inject({ method: 'POST', url: '/orders?dry=1', payload: valid });
    assert.deepEqual(placesOf(assertProblem(answer, 400, 'invalid-parameter')), ['query dry']);
  });
});
