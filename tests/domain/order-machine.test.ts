import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { type EventDraft, type EventType, eventTypes } from '../../src/domain/events.ts';
import { type Order, type Status, statuses, toFirstState } from '../../src/domain/order.ts';
import { isUnderWay, nextStatus, record, takeUp } from '../../src/domain/order-machine.ts';
import { isRefusal } from '../../src/domain/refusals.ts';
import { orderWith } from '../support/orders.ts';

const now = new Date('2026-11-21T08:00:00.000Z');

// One column per event, as in the heading: the status afterwards, or the code of the refusal.
const events: readonly EventType[] = [
  'OrderCreatedV1',
  'PaymentAuthorizedV1',
  'PaymentFailedV1',
  'PaymentVoidedV1',
  'FulfillmentScheduledV1',
  'FulfillmentRejectedV1',
  'FulfillmentCanceledV1',
  'OrderFailedV1',
  'OrderReprocessedV1',
  'OrderCanceledV1',
];
const busy = 'order-in-progress';
const final = 'order-already-processed';
const failed = 'order-failed';
const over = 'order-already-canceled';
const expected: Record<Status, readonly string[]> = {
  PENDING: ['order-exists', busy, busy, busy, busy, busy, busy, 'FAILED', 'order-not-failed', 'CANCELED'],
  PROCESSING: [
    'order-exists',
    'PROCESSING',
    'PROCESSING',
    busy,
    'PROCESSED',
    'PROCESSING',
    busy,
    'FAILED',
    'order-not-failed',
    'CANCELED',
  ],
  PROCESSED: ['order-exists', final, final, final, final, final, final, final, final, final],
  FAILED: ['order-exists', failed, failed, failed, failed, failed, failed, failed, 'PENDING', 'CANCELED'],
  CANCELED: ['order-exists', 'CANCELED', 'CANCELED', 'CANCELED', 'CANCELED', 'CANCELED', 'CANCELED', over, over, over],
};

function draftOf(type: EventType): EventDraft {
  const data: Record<EventType, object> = {
    OrderCreatedV1: { amount: 2_500, currency: 'EUR', country: 'US' },
    OrderCanceledV1: { amount: 2_500, currency: 'EUR', reason: 'canceled-by-request' },
    OrderFailedV1: { reason: 'provider-unavailable', consumer: 'payment' },
    OrderReprocessedV1: {},
    PaymentAuthorizedV1: { amount: 2_500, currency: 'EUR', authorizationId: 'auth-1', expiresAt: now.toISOString() },
    PaymentFailedV1: { amount: 2_500, currency: 'EUR', declineCode: 'do-not-honor' },
    PaymentVoidedV1: { amount: 2_500, currency: 'EUR', authorizationId: 'auth-1' },
    FulfillmentScheduledV1: { bookingId: 'book-1' },
    FulfillmentRejectedV1: { rejectCode: 'unknown-address' },
    FulfillmentCanceledV1: { bookingId: 'book-1' },
  };
  return { type, data: data[type] } as EventDraft;
}
const recorded = (order: Order, types: readonly EventType[], reason?: Order['reason']) => {
  const answer = record(order, types.map(draftOf), now, reason ?? undefined);
  assert.ok(!isRefusal(answer), JSON.stringify(answer));
  return answer;
};

describe('the machine of an order', () => {
  it('is asked about every event there is', () => {
    assert.deepEqual([...events].sort(), [...eventTypes].sort());
  });

  for (const status of statuses) {
    for (const [index, event] of events.entries()) {
      const cell = expected[status][index] ?? '';
      const isMove = cell === cell.toUpperCase();
      it(`${isMove ? `leads from ${status} to ${cell} by` : `refuses (${cell}) while ${status}`} ${event}`, () => {
        const next = nextStatus(status, event);
        const order = orderWith({ status, version: 7 });
        const answer = record(order, [draftOf(event)], now);
        if (isMove) {
          assert.equal(next, cell);
          assert.ok(!isRefusal(answer));
          assert.equal(answer.order.status, cell);
          return;
        }
        assert.ok(isRefusal(next) && isRefusal(answer));
        assert.deepEqual([next.refused, answer.refused], [cell, cell]);
        // A client reads it: a sentence in words, without the names of our events.
        assert.match(next.detail, /^[A-Z][a-z: ,]+\.$/);
      });
    }
  }

  it('knows which orders are under way and which are at their end', () => {
    assert.deepEqual(statuses.filter(isUnderWay), ['PENDING', 'PROCESSING']);
    const canMove = (status: Status) =>
      events.some((event) => {
        const next = nextStatus(status, event);
        return !isRefusal(next) && next !== status;
      });
    assert.deepEqual(
      statuses.filter((status) => !canMove(status)),
      ['PROCESSED', 'CANCELED'],
    );
  });
});

describe('recording events', () => {
  const anyStatus = fc.constantFrom(...statuses);
  const anyEvents = fc.array(fc.constantFrom(...events), { maxLength: 6 });

  it('raises the version by one per event and by nothing else', () => {
    fc.assert(
      fc.property(anyStatus, anyEvents, fc.integer({ min: 1, max: 1_000 }), (status, types, version) => {
        const answer = record(orderWith({ status, version }), types.map(draftOf), now);
        if (isRefusal(answer)) return;
        assert.equal(answer.order.version, version + types.length);
        assert.deepEqual(
          answer.events.map((event) => event.version),
          types.map((_, index) => version + index + 1),
        );
      }),
    );
  });

  it('records all events or none, and never touches the order it was given', () => {
    fc.assert(
      fc.property(anyStatus, anyEvents, (status, types) => {
        const order = Object.freeze(orderWith({ status }));
        const answer = record(order, types.map(draftOf), now);
        let current: Order | null = order;
        for (const type of types) {
          if (current === null) break;
          const isAllowed: boolean = !isRefusal(nextStatus(current.status, type));
          current = isAllowed ? recorded(current, [type]).order : null;
        }
        if (isRefusal(answer)) assert.equal(current, null);
        else assert.deepEqual(answer.order, current);
      }),
    );
  });

  it('says in an event what the status was and is, where it changes and only there', () => {
    fc.assert(
      fc.property(anyStatus, anyEvents, (status, types) => {
        const answer = record(orderWith({ status }), types.map(draftOf), now);
        if (isRefusal(answer)) return;
        let before = status;
        for (const event of answer.events) {
          const after = nextStatus(before, event.type);
          const moved = after !== before ? { previousStatus: before, status: after } : {};
          const { previousStatus, status: told } = event.data;
          assert.deepEqual(
            { previousStatus, status: told },
            { previousStatus: undefined, status: undefined, ...moved },
          );
          assert.equal(event.data.orderId, answer.order.id);
          before = after as Status;
        }
      }),
    );
  });

  it('keeps the summaries of money and parcel', () => {
    const summaryOf = (status: Status, types: readonly EventType[], given: Partial<Order> = {}) => {
      const { order } = recorded(orderWith({ status, ...given }), types);
      return [order.payment, order.fulfillment];
    };
    assert.deepEqual(summaryOf('PROCESSING', ['PaymentAuthorizedV1']), ['authorized', 'none']);
    assert.deepEqual(summaryOf('PROCESSING', ['PaymentFailedV1']), ['declined', 'none']);
    assert.deepEqual(summaryOf('CANCELED', ['PaymentVoidedV1']), ['voided', 'none']);
    assert.deepEqual(summaryOf('PROCESSING', ['FulfillmentScheduledV1'], { payment: 'authorized' }), [
      'authorized',
      'scheduled',
    ]);
    assert.deepEqual(summaryOf('PROCESSING', ['FulfillmentRejectedV1']), ['none', 'rejected']);
    assert.deepEqual(summaryOf('CANCELED', ['FulfillmentCanceledV1']), ['none', 'canceled']);
  });

  it('gives the reason to the move into FAILED or CANCELED, and to no other event', () => {
    const reason = { code: 'payment-declined', message: 'the payment was declined' };
    const { order } = recorded(orderWith({ status: 'PROCESSING' }), ['PaymentFailedV1', 'OrderCanceledV1'], reason);
    assert.deepEqual(order.reason, reason);
    assert.equal(recorded(orderWith({ status: 'PROCESSING' }), ['PaymentFailedV1'], reason).order.reason, null);
    const canceled = orderWith({ status: 'CANCELED', reason: { code: 'canceled-by-request', message: 'x' } });
    assert.deepEqual(recorded(canceled, ['PaymentVoidedV1'], reason).order.reason, canceled.reason);
  });

  it('begins anew at a reprocess: no reason, no charged retries, the version goes on', () => {
    const given = { status: 'FAILED', retryCount: 3, version: 4, reason: { code: 'x', message: 'y' } } as const;
    const { order } = recorded(orderWith(given), ['OrderReprocessedV1']);
    assert.deepEqual([order.status, order.retryCount, order.reason, order.version], ['PENDING', 0, null, 5]);
  });

  it('stamps the order with the time it is given', () => {
    assert.equal(recorded(orderWith(), ['OrderCanceledV1']).order.updatedAt, now);
  });
});

describe('taking an order up', () => {
  it('moves PENDING to PROCESSING without an event and without a new version', () => {
    const order = orderWith({ status: 'PENDING', version: 3 });
    assert.deepEqual(takeUp(order, now), { ...order, status: 'PROCESSING', updatedAt: now });
  });

  it('leaves every other order as it is', () => {
    for (const status of statuses.filter((one) => one !== 'PENDING')) {
      const order = orderWith({ status });
      assert.equal(takeUp(order, now), order);
    }
  });
});

describe('the first state of an order', () => {
  it('is what its first answer showed, whatever became of it', () => {
    const first = orderWith();
    const later = orderWith({
      status: 'FAILED',
      payment: 'unknown',
      fulfillment: 'pending',
      retryCount: 3,
      reason: { code: 'x', message: 'y' },
      version: 9,
      updatedAt: now,
    });
    assert.deepEqual(toFirstState(later), first);
  });
});
