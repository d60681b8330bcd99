import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { compare, type Evidence, type StoredOrder } from './evidence.ts';

const request = JSON.stringify({
  customerEmail: 'ada@customers.invalid',
  currency: 'EUR',
  country: 'DE',
  items: [{ sku: 'lamp', quantity: 2, unitPrice: 1_250 }],
  paymentScenario: 'success',
});
const order: StoredOrder = {
  id: 'order-1',
  key: 'key-1',
  status: 'PROCESSED',
  amount: 2_500,
  currency: 'EUR',
  country: 'DE',
  items: [{ sku: 'lamp', quantity: 2, unitPrice: 1_250 }],
  customerEmail: 'ada@customers.invalid',
  userId: null,
  paymentScenario: 'success',
};
const evidence: Evidence = {
  sent: new Map([['key-1', request]]),
  acknowledged: new Map([['key-1', { orderId: 'order-1' }]]),
  canceled: new Set(),
  tooLate: new Set(),
};
const found = (given: Partial<Evidence>, stored: readonly StoredOrder[]) =>
  compare({ ...evidence, ...given }, stored).map(({ what }) => what);

describe('the comparison of what customers hold with what is stored', () => {
  it('finds nothing where each order is as it was sent and where it must end', () => {
    assert.deepEqual(compare(evidence, [order]), []);
  });

  it('finds an acknowledged order that is not there, or is the order of another key', () => {
    assert.deepEqual(found({}, []), ['acknowledged with 201, and not there']);
    const sent = new Map([...evidence.sent, ['key-2', request]]);
    const acknowledged = new Map([...evidence.acknowledged, ['key-2', { orderId: 'order-2' }]]);
    const swapped = [
      { ...order, key: 'key-2' },
      { ...order, id: 'order-2' },
    ];
    assert.deepEqual(found({ sent, acknowledged }, swapped), ['acknowledged under a key of another order']);
  });

  it('finds a second order of a request, and a key that nobody sent or that has two orders', () => {
    const second = { ...order, id: 'order-2', key: null };
    assert.deepEqual(found({}, [order, second]), ['a second order of one request']);
    const strange = { ...order, id: 'order-2', key: 'key-2' };
    assert.deepEqual(found({}, [order, strange]), ['stored under a key that nobody sent']);
    assert.deepEqual(found({}, [order, order]), ['two keys of one order']);
  });

  it('finds every member of a payload that is stored otherwise', () => {
    const others: Partial<StoredOrder>[] = [
      { amount: 2_501 },
      { currency: 'USD' },
      { country: 'US' },
      { items: [{ sku: 'lamp', quantity: 1, unitPrice: 2_500 }] },
      { customerEmail: 'eve@customers.invalid' },
      { userId: 'somebody' },
    ];
    for (const other of others) {
      assert.deepEqual(found({}, [{ ...order, ...other }]), ['stored with another payload than was sent']);
    }
  });

  it('finds an order that ended elsewhere than its scenario or the answer to its cancel says', () => {
    const canceled = { ...order, status: 'CANCELED' };
    assert.deepEqual(found({}, [canceled]), ['not where its scenario ends']);
    assert.deepEqual(found({ canceled: new Set(['order-1']) }, [canceled]), []);
    assert.deepEqual(found({ canceled: new Set(['order-1']) }, [order]), [
      'a cancel that was answered with 200, and an order that is not canceled',
    ]);
    assert.deepEqual(found({ tooLate: new Set(['order-1']) }, [{ ...order, status: 'FAILED' }]), [
      'a cancel that came too late, and an order that is not processed',
      'not where its scenario ends',
    ]);
  });
});
