import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { type ProductType, priceList } from '../../../src/domain/money.ts';
import type { Order, OrderId } from '../../../src/domain/order.ts';
import { isRefusal } from '../../../src/domain/refusals.ts';
import { fingerprintOf, toOrder } from '../../../src/flow/orders/place-order.ts';
import type { PlaceCommand } from '../../../src/flow/ports.ts';

const now = new Date('2026-11-21T07:00:00.000Z');
const id = '01993b1e-7c3a-7d4e-9f10-2b6c8d0e4f12' as OrderId;
const attempt = (command: PlaceCommand, simulatedPartners = true) =>
  toOrder(
    { command, received: command, key: null, correlationId: 'c-1', traceparent: null },
    { now, id, simulatedPartners },
  );
const placed = (command: PlaceCommand): Order => {
  const order = attempt(command);
  assert.ok(!isRefusal(order), JSON.stringify(order));
  return order;
};
const refusedAt = (command: PlaceCommand, simulatedPartners = true): string | undefined => {
  const refusal = attempt(command, simulatedPartners);
  assert.ok(isRefusal(refusal));
  assert.equal(refusal.refused, 'invalid-order');
  assert.ok(refusal.detail.length > 0);
  return refusal.pointer;
};
const lamp = { sku: 'lamp', quantity: 2, unitPrice: 1250 };

describe('an order that is placed', () => {
  it('is complete, at its first version, with every default filled in', () => {
    assert.deepEqual(placed({ userId: 'u-1', items: [lamp] }), {
      id,
      status: 'PENDING',
      payment: 'none',
      fulfillment: 'none',
      retryCount: 0,
      amount: 2500,
      currency: 'USD',
      country: 'US',
      items: [lamp],
      customerEmail: null,
      userId: 'u-1',
      productType: null,
      paymentScenario: 'success',
      reason: null,
      correlationId: 'c-1',
      traceparent: null,
      version: 1,
      createdAt: now,
      updatedAt: now,
    });
  });

  it('knows its customer by e-mail address, by either name of the user id, or by both', () => {
    const amount = 1;
    assert.equal(placed({ customerEmail: 'a@example.com', amount }).customerEmail, 'a@example.com');
    assert.equal(placed({ user_id: 'u', amount }).userId, 'u');
    assert.equal(placed({ userId: 'u', user_id: 'u', customerEmail: 'a@example.com', amount }).userId, 'u');
  });

  it('shows a bare amount as one line, so that all orders have lines', () => {
    const { items, amount, productType } = placed({ userId: 'u', amount: Number.MAX_SAFE_INTEGER });
    assert.deepEqual(items, [{ sku: 'item', quantity: 1, unitPrice: Number.MAX_SAFE_INTEGER }]);
    assert.deepEqual([amount, productType], [Number.MAX_SAFE_INTEGER, null]);
  });

  it('shows a product as one line at the price of the list', () => {
    for (const [productType, unitPrice] of Object.entries(priceList) as [ProductType, number][]) {
      const order = placed({ userId: 'u', productType, currency: 'USD' });
      assert.deepEqual(order.items, [{ sku: productType, quantity: 1, unitPrice }]);
      assert.deepEqual([order.amount, order.productType, order.currency], [unitPrice, productType, 'USD']);
    }
  });

  it('adds its lines up to the amount, exactly', () => {
    const line = fc.record({
      sku: fc.constant('s'),
      quantity: fc.integer({ min: 1, max: 10_000 }),
      unitPrice: fc.integer({ min: 0, max: 1_000_000_000_000 }),
    });
    fc.assert(
      fc.property(fc.array(line, { minLength: 1, maxLength: 100 }), (items) => {
        const total = items.reduce((sum, { quantity, unitPrice }) => sum + BigInt(quantity) * BigInt(unitPrice), 0n);
        const order = attempt({ userId: 'u', items });
        if (total < 1n || total > BigInt(Number.MAX_SAFE_INTEGER)) assert.ok(isRefusal(order));
        else assert.equal(!isRefusal(order) && BigInt(order.amount), total);
      }),
    );
  });
});

describe('an order that is refused', () => {
  it('has no customer', () => {
    assert.equal(refusedAt({ amount: 1 }), '#/customerEmail');
  });

  it('has two user ids that differ', () => {
    assert.equal(refusedAt({ userId: 'a', user_id: 'b', amount: 1 }), '#/user_id');
  });

  it('has none or several of items, productType and amount', () => {
    const forms = { items: [lamp], productType: 'Phone', amount: 5 } as const;
    assert.equal(refusedAt({ userId: 'u' }), '#/items');
    assert.equal(refusedAt({ userId: 'u', ...forms }), '#/productType');
    assert.equal(refusedAt({ userId: 'u', items: forms.items, amount: 5 }), '#/amount');
    assert.equal(refusedAt({ userId: 'u', productType: 'Phone', amount: 5 }), '#/amount');
  });

  it('costs nothing, or more than a number can hold', () => {
    assert.equal(refusedAt({ userId: 'u', items: [{ ...lamp, unitPrice: 0 }] }), '#/items');
    const most = { sku: 's', quantity: 10_000, unitPrice: 1_000_000_000_000 };
    assert.equal(refusedAt({ userId: 'u', items: Array(100).fill(most) }), '#/items');
  });

  it('is in a currency or for a country that does not exist', () => {
    assert.equal(refusedAt({ userId: 'u', amount: 1, currency: 'ABC' }), '#/currency');
    assert.equal(refusedAt({ userId: 'u', amount: 1, country: 'XX' }), '#/country');
  });

  it('buys from the price list in another currency', () => {
    assert.equal(refusedAt({ userId: 'u', productType: 'Phone', currency: 'EUR' }), '#/currency');
  });

  it('gives real partners stage directions', () => {
    assert.equal(refusedAt({ userId: 'u', amount: 1, paymentScenario: 'success' }, false), '#/paymentScenario');
    assert.ok(!isRefusal(attempt({ userId: 'u', amount: 1 }, false)));
  });
});

describe('the fingerprint of a request', () => {
  const hex = (text: string) => fingerprintOf(JSON.parse(text)).toString('hex');
  const json = fc.jsonValue({ stringUnit: 'binary' }).map((value) => JSON.parse(JSON.stringify(value)) as unknown);
  const reversed = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(reversed);
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(
      Object.entries(value)
        .reverse()
        .map(([name, member]) => [name, reversed(member)]),
    );
  };

  it('is 32 bytes and the same for the same value', () => {
    fc.assert(
      fc.property(json, (value) => {
        assert.equal(fingerprintOf(value).length, 32);
        assert.deepEqual(fingerprintOf(value), fingerprintOf(structuredClone(value)));
      }),
    );
  });

  it('does not depend on the order of members or on spacing', () => {
    fc.assert(
      fc.property(json, (value) => {
        const other = JSON.parse(JSON.stringify(reversed(value), null, 3)) as unknown;
        assert.deepEqual(fingerprintOf(other), fingerprintOf(value));
      }),
    );
  });

  it('differs exactly where the values differ', () => {
    fc.assert(
      fc.property(json, json, (one, other) => {
        assert.equal(fingerprintOf(one).equals(fingerprintOf(other)), isDeepStrictEqual(one, other));
      }),
    );
    assert.notEqual(hex('{"amount":1}'), hex('{"amount":"1"}'));
    assert.notEqual(hex('[1,2]'), hex('[2,1]'));
    assert.notEqual(hex('{"userId":"u","amount":1}'), hex('{"userId":"u","amount":1,"currency":"USD"}'));
    assert.notEqual(hex('{"userId":"\u00e9"}'), hex('{"userId":"e\u0301"}'));
  });

  it('is that of the value, not of its spelling', () => {
    assert.equal(hex('{"amount":1.0}'), hex('{"amount":1}'));
    assert.equal(hex('{"amount":1e2}'), hex('{"amount":100}'));
    assert.equal(hex('{"amount":-0}'), hex('{"amount":0}'));
    assert.equal(hex('"\\u0061\\/"'), hex('"a/"'));
  });

  it('is SHA-256 over RFC 8785, so that any other program can compute it', () => {
    // SHA-256 of {"amount":1999,"user_id":"u-1"}
    const expected = '86d1d636e108cf5a313b712cd3e6292f31ea735bc2312ca72bc4d17c1b5e8966';
    assert.equal(hex('{"user_id":"u-1","amount":1999}'), expected);
  });
});
