// Answers of partners that no adapter should bring, and what becomes of an order that meets one.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { OrderId } from '../../../src/domain/order.ts';
import { OutsideError, type Trouble } from '../../../src/engine/ports.ts';
import type { Partners } from '../../../src/flow/ports.ts';
import { boundPartners } from '../../../src/flow/steps/outside.ts';
import { orderWith } from '../../support/orders.ts';
import type { Postgres } from '../../support/postgres.ts';
import { createVirtualSystem } from '../../support/virtual-system.ts';
import { inWorld, startServer } from '../../support/world.ts';

const orderId = '01993b1e-7c3a-7d4e-9f10-000000000001' as OrderId;
const signal = new AbortController().signal;
const soon = new Date('2026-11-28T07:00:00Z');

// Partners whose every answer is this one.
function answering(answer: unknown): Partners {
  const say = async () => answer as never;
  return boundPartners(
    {
      payments: { keyWindowMs: 0, authorize: say, void: say, lookup: say },
      carrier: { keyWindowMs: 0, book: say, recall: say, lookup: say },
      mail: { send: say },
    },
    1_000,
    createVirtualSystem(),
  );
}

const calls: Record<string, (partners: Partners) => Promise<unknown>> = {
  authorize: ({ payments }) =>
    payments.authorize({ key: 'k', orderId, amount: 1, currency: 'EUR', scenario: 'success', epoch: 0 }, signal),
  void: ({ payments }) => payments.void({ key: 'k', orderId }, signal),
  'find-authorization': ({ payments }) => payments.lookup('k', signal),
  book: ({ carrier }) => carrier.book({ key: 'k', orderId, country: 'DE', items: orderWith({}).items }, signal),
  recall: ({ carrier }) => carrier.recall({ key: 'k', orderId }, signal),
  'find-booking': ({ carrier }) => carrier.lookup('k', signal),
};

type Form = { readonly of: string; readonly answer: object; readonly texts: readonly string[]; readonly times?: true };
const forms: readonly Form[] = [
  {
    of: 'authorize',
    answer: { outcome: 'authorized', authorizationId: 'a', expiresAt: soon },
    texts: ['authorizationId'],
    times: true,
  },
  { of: 'authorize', answer: { outcome: 'declined', code: 'c' }, texts: ['code'] },
  { of: 'authorize', answer: { outcome: 'closed' }, texts: [] },
  { of: 'find-authorization', answer: { outcome: 'declined', code: 'c' }, texts: ['code'] },
  { of: 'void', answer: { outcome: 'voided', authorizationId: 'a' }, texts: ['authorizationId'] },
  { of: 'void', answer: { outcome: 'nothing-held' }, texts: [] },
  { of: 'void', answer: { outcome: 'refused', authorizationId: 'a', code: 'c' }, texts: ['authorizationId', 'code'] },
  { of: 'book', answer: { outcome: 'booked', bookingId: 'b' }, texts: ['bookingId'] },
  { of: 'book', answer: { outcome: 'rejected', code: 'c' }, texts: ['code'] },
  { of: 'find-booking', answer: { outcome: 'booked', bookingId: 'b' }, texts: ['bookingId'] },
  { of: 'recall', answer: { outcome: 'recalled', bookingId: 'b' }, texts: ['bookingId'] },
  { of: 'recall', answer: { outcome: 'nothing-booked' }, texts: [] },
  { of: 'recall', answer: { outcome: 'refused', bookingId: 'b', code: 'c' }, texts: ['bookingId', 'code'] },
];
const hostileTexts = [
  '',
  '\u0000',
  'a\u0000b',
  'a b',
  'a\n',
  'ä',
  '\ud83d',
  '灯',
  'x'.repeat(201),
  7,
  null,
  undefined,
  ['a'],
];
const hostileTimes = [
  new Date('0000-12-31T23:59:59.999Z'),
  new Date('+010000-01-01T00:00:00Z'),
  new Date(Number.NaN),
  '2026-11-28T07:00:00Z',
  null,
];

async function troubleOf(call: string, answer: unknown): Promise<Trouble> {
  const failure = await calls[call]?.(answering(answer)).then(
    () => assert.fail(`${call} took ${JSON.stringify(answer)}`),
    (error: unknown) => error,
  );
  assert.ok(failure instanceof OutsideError);
  return failure.trouble;
}

describe('an answer of a partner', () => {
  for (const { of, answer, texts, times } of forms) {
    const { outcome } = answer as { outcome: string };
    it(`to ${of} is taken as ${outcome}, and is malformed where a field of it cannot be stored`, async () => {
      assert.deepEqual(await calls[of]?.(answering(answer)), answer);
      const odd = [
        ...texts.flatMap((field) => hostileTexts.map((value) => ({ ...answer, [field]: value }))),
        ...(times ? hostileTimes.map((value) => ({ ...answer, expiresAt: value })) : []),
        { ...answer, outcome: 'perhaps' },
      ];
      for (const one of odd) {
        const { class: failureClass, code, dependencyDown } = await troubleOf(of, one);
        assert.deepEqual([failureClass, code, dependencyDown], ['unknown', 'malformed-answer', false]);
      }
    });
  }

  it('that finds nothing is null', async () => {
    for (const call of ['find-authorization', 'find-booking']) assert.equal(await calls[call]?.(answering(null)), null);
  });

  it('that is a failure becomes one line that can be stored, with a code and a delay that can be read', async () => {
    const trouble: Trouble = {
      class: 'throttled',
      code: 'no\u0000code',
      message: `a\u0000b\r\nc\u2028d\ud83d${'x'.repeat(5_000)}`,
      dependencyDown: false,
      retryAfterMs: Number.NaN,
    };
    const failing = boundPartners(
      {
        ...answering(null),
        mail: {
          send: async () => {
            throw new OutsideError(trouble);
          },
        },
      },
      1_000,
      createVirtualSystem(),
    );
    const mail = { key: 'k', orderId, kind: 'processed', to: 'u', subject: 's', text: 't' } as const;
    await assert.rejects(failing.mail.send(mail, signal), (error) => {
      assert.ok(error instanceof OutsideError);
      const { code, message, retryAfterMs } = error.trouble;
      assert.deepEqual([code, retryAfterMs], ['partner-failed', undefined]);
      assert.ok(message.startsWith('a b c d\ufffdx') && message.length <= 2_000);
      return true;
    });
  });
});

describe('an order whose provider answers oddly', { timeout: 60_000 }, () => {
  let postgres: Postgres;
  before(async () => {
    postgres = await startServer();
  });
  after(() => postgres.stop());

  it('fails with the name of that after its retries, with its money unknown, and is processed when it is sent back', async () => {
    let isOdd = true;
    const partners = (real: Partners): Partners => ({
      ...real,
      payments: {
        ...real.payments,
        authorize: async (request, inner) => {
          const answer = await real.payments.authorize(request, inner);
          return isOdd && answer.outcome === 'authorized' ? { ...answer, authorizationId: 'a\u0000' } : answer;
        },
      },
    });
    await inWorld(postgres, { partners }, async (world) => {
      const { id } = await world.place();
      const failed = await world.ended(id, 'FAILED');
      assert.deepEqual([failed.reason?.code, failed.payment], ['malformed-answer', 'unknown']);
      isOdd = false;
      await world.desk.reprocess(id, 'again');
      assert.equal((await world.ended(id, 'PROCESSED')).payment, 'authorized');
      assert.deepEqual(
        world.entries(id, 'payments').map(({ state }) => state),
        ['authorized'],
      );
    });
  });
});
