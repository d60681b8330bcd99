// When the step that books takes an order on.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Order } from '../../../src/domain/order.ts';
import type { Event } from '../../../src/engine/ports.ts';
import { scheduleFulfillment } from '../../../src/flow/steps/schedule-fulfillment.ts';
import { orderWith } from '../../support/orders.ts';

const never = async () => assert.fail('nobody is called');
const step = scheduleFulfillment(
  { keyWindowMs: 0, book: never, recall: never, lookup: never },
  { now: () => new Date() },
);
const payments: readonly Order['payment'][] = ['none', 'pending', 'authorized', 'declined', 'voided', 'unknown'];

describe('the booking of an order', () => {
  // Whatever wrote the row: nobody has to believe that an event alone means money.
  it('is taken on while the order is under way and its payment authorized, and not otherwise', () => {
    const taken = (status: Order['status']) =>
      payments.filter((payment) => step.admits({ order: orderWith({ status, payment }), effects: {} }, {} as Event));
    assert.deepEqual(taken('PENDING'), ['authorized']);
    assert.deepEqual(taken('PROCESSING'), ['authorized']);
    for (const status of ['PROCESSED', 'FAILED', 'CANCELED'] as const) assert.deepEqual(taken(status), []);
  });
});
