import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Order, PaymentScenario } from '../../src/domain/order.ts';
import type { Postgres } from '../support/postgres.ts';
import { inWorld, slowestTest, startServer } from '../support/world.ts';

type End = Pick<Order, 'status' | 'payment' | 'fulfillment' | 'retryCount'> & {
  readonly reason: string | null;
  // Calls to the provider to authorize.
  readonly attempts: number;
  readonly deadLetter: string | null;
  // What the provider and the carrier have in their books.
  readonly ledger: readonly string[];
  readonly events: readonly string[];
  readonly mail: string;
};

const processed = {
  status: 'PROCESSED',
  payment: 'authorized',
  fulfillment: 'scheduled',
  reason: null,
  deadLetter: null,
  ledger: ['authorized', 'booked'],
  events: ['OrderCreatedV1', 'PaymentAuthorizedV1', 'FulfillmentScheduledV1'],
  mail: 'processed',
} as const;
const failed = {
  status: 'FAILED',
  payment: 'none',
  fulfillment: 'none',
  ledger: [],
  events: ['OrderCreatedV1', 'OrderFailedV1'],
  mail: 'failed',
} as const;
const away = { reason: 'provider-unavailable', deadLetter: 'provider-unavailable' };

const ends: Readonly<Record<PaymentScenario, { readonly says: string; readonly end: End }>> = {
  success: { says: 'is processed', end: { ...processed, retryCount: 0, attempts: 1 } },
  failure: {
    says: 'is canceled, and the customer told that the payment was declined',
    end: {
      status: 'CANCELED',
      payment: 'declined',
      fulfillment: 'none',
      reason: 'payment-declined',
      retryCount: 0,
      attempts: 1,
      deadLetter: null,
      ledger: ['declined'],
      events: ['OrderCreatedV1', 'PaymentFailedV1', 'OrderCanceledV1'],
      mail: 'declined',
    },
  },
  flaky: { says: 'is processed at the third attempt', end: { ...processed, retryCount: 2, attempts: 3 } },
  timeout: { says: 'is processed at the second attempt', end: { ...processed, retryCount: 1, attempts: 2 } },
  'lost-answer': { says: 'is authorized once and processed', end: { ...processed, retryCount: 1, attempts: 2 } },
  outage: { says: 'fails after the last retry', end: { ...failed, ...away, retryCount: 3, attempts: 4 } },
  fatal: {
    says: 'fails at the first attempt',
    end: { ...failed, reason: 'provider-refused', deadLetter: 'provider-refused', retryCount: 0, attempts: 1 },
  },
};

describe('an order', { concurrency: true }, () => {
  let postgres: Postgres;
  before(async () => {
    postgres = await startServer();
  });
  after(() => postgres.stop());

  async function endOf(scenario: PaymentScenario, maxRetries = 3): Promise<End> {
    let end: End | undefined;
    await inWorld(postgres, { settings: { maxRetries, timeoutMs: 150 } }, async (world) => {
      const { id } = await world.place({ paymentScenario: scenario });
      await world.ended(id);
      await world.settled();
      const { status, payment, fulfillment, retryCount, reason } = await world.order(id);
      const attempt = await world.attempts('payment', id);
      const attempts = world.callsOf(id).filter((call) => call === 'authorize').length;
      assert.equal(attempt, attempts, 'counted are the attempts that the provider saw');
      const deadLetters = await world.openDeadLetters();
      assert.ok(deadLetters.length <= 1);
      for (const deadLetter of deadLetters) {
        assert.deepEqual([deadLetter.orderId, deadLetter.consumer, deadLetter.attempts], [id, 'payment', attempts]);
        assert.deepEqual([deadLetter.retryCount, deadLetter.order?.status], [retryCount, 'FAILED']);
      }
      end = {
        status,
        payment,
        fulfillment,
        retryCount,
        reason: reason?.code ?? null,
        attempts,
        deadLetter: deadLetters[0]?.code ?? null,
        ledger: world.entries(id).flatMap((entry) => (entry.partner === 'mail' ? [] : [entry.state])),
        events: await world.events(id),
        mail: world
          .entries(id, 'mail')
          .map((entry) => (JSON.parse(entry.terms ?? '{}') as { kind: string }).kind)
          .join(),
      };
    });
    assert.ok(end);
    return end;
  }

  for (const [scenario, { says, end }] of Object.entries(ends)) {
    it(`with the payment scenario ${scenario} ${says}`, slowestTest, async () => {
      assert.deepEqual(await endOf(scenario as PaymentScenario), end);
    });
  }

  it('with the payment scenario flaky and fewer than two retries fails after the last one', slowestTest, async () => {
    assert.deepEqual(await endOf('flaky', 1), { ...failed, ...away, retryCount: 1, attempts: 2 });
  });

  it('with the payment scenario outage and no retries fails at the first attempt', slowestTest, async () => {
    assert.deepEqual(await endOf('outage', 0), { ...failed, ...away, retryCount: 0, attempts: 1 });
  });
});
