import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { OrderId } from '../../../src/domain/order.ts';
import { isRefusal } from '../../../src/domain/refusals.ts';
import { OutsideError } from '../../../src/engine/ports.ts';
import type { TimelineEntry } from '../../../src/flow/orders/sentences.ts';
import { mailKinds, type Partners } from '../../../src/flow/ports.ts';
import { mailText } from '../../../src/flow/steps/mail-text.ts';
import { orderWith } from '../../support/orders.ts';
import type { Postgres } from '../../support/postgres.ts';
import { startServer } from '../../support/store.ts';
import { until } from '../../support/until.ts';
import { inWorld, type World } from '../../support/world.ts';

let postgres: Postgres;
before(async () => {
  postgres = await startServer();
});
after(() => postgres.stop());

// A mail partner that knows no keys, as SMTP; its first answers are lost.
function forgetful(lostAnswers: number, given: Partial<Partners['mail']> = {}) {
  const sent: string[] = [];
  const around = (partners: Partners): Partners => ({
    ...partners,
    mail: {
      knowsKeys: false,
      send: async ({ key }) => {
        sent.push(key);
        if (sent.length > lostAnswers) return;
        throw new OutsideError({
          class: 'unknown',
          code: 'connection-lost',
          message: 'it broke',
          dependencyDown: true,
        });
      },
      ...given,
    },
  });
  return { sent, partners: around };
}

async function told(world: World, id: OrderId): Promise<TimelineEntry> {
  const entries = await world.desk.timeline(id);
  assert.ok(!isRefusal(entries));
  const [skipped, ...more] = entries.filter(({ type }) => type === 'skipped');
  assert.ok(skipped !== undefined && more.length === 0);
  assert.equal(skipped.consumer, 'notification');
  return skipped;
}

describe('mail by a partner that knows no keys', { timeout: 60_000 }, () => {
  it('is sent once where its answer was lost, and again only when a person says so', async () => {
    const { sent, partners } = forgetful(1);
    await inWorld(postgres, { partners }, async (world) => {
      const { id } = await world.place();
      await world.ended(id, 'PROCESSED');
      const deadLetter = await until(async () => (await world.openDeadLetters())[0], 'the dead letter');
      assert.deepEqual([deadLetter.consumer, deadLetter.code, sent.length], ['notification', 'outcome-unresolved', 1]);
      await world.desk.reprocessDeadLetter(deadLetter.id, 'test-dead-letter');
      await world.settled();
      assert.deepEqual([sent.length, new Set(sent).size, (await world.openDeadLetters()).length], [2, 1, 0]);
    });
  });

  it('is not sent by whoever takes over from a worker that died with it', async () => {
    const { sent, partners } = forgetful(0);
    await inWorld(postgres, { partners, start: false }, async (world) => {
      const { id } = await world.place();
      await world.desk.cancel(id, null, 'test-cancel');
      await world.takeByHand('notification', id, 1);
      await world.engine.start();
      const deadLetter = await until(async () => (await world.openDeadLetters())[0], 'the dead letter');
      assert.deepEqual([deadLetter.consumer, deadLetter.code, sent], ['notification', 'outcome-unresolved', []]);
      await world.settled();
    });
  });

  it('is skipped for an order without an address', async () => {
    const { sent, partners } = forgetful(0, { needsAddress: true });
    await inWorld(postgres, { partners }, async (world) => {
      const answer = await world.desk.place({
        ...{ command: { userId: 'u-1', amount: 1 }, received: {}, key: null },
        ...{ correlationId: 'c-1', traceparent: null },
      });
      assert.ok('order' in answer);
      await world.ended(answer.order.id, 'PROCESSED');
      await world.settled();
      assert.equal(await world.job('notification', answer.order.id), null);
      assert.deepEqual(sent, []);
      const { attempt, durationMs, code, text } = await told(world, answer.order.id);
      assert.deepEqual([attempt, durationMs, code], [null, null, 'mail-without-address']);
      assert.equal(
        text,
        'The consumer notification did nothing: no e-mail address of the customer is known (mail-without-address).',
      );
    });
  });

  it('that is no news any more is not sent, and the timeline says so', async () => {
    await inWorld(postgres, { start: false }, async (world) => {
      const { id } = await world.place({ paymentScenario: 'failure' });
      const late = await world.takeByHand('payment', id);
      const declined = await late.perform();
      await world.cancel(id);
      assert.equal(await late.settle(declined), 'settled');
      await world.engine.start();
      await world.settled();
      assert.equal((await told(world, id)).code, 'mail-outdated');
    });
  });

  it('of a decline is told once, without a line on the other event of it', async () => {
    await inWorld(postgres, {}, async (world) => {
      const { id } = await world.place({ paymentScenario: 'failure' });
      await world.ended(id, 'CANCELED');
      await world.settled();
      const entries = await world.desk.timeline(id);
      assert.ok(!isRefusal(entries));
      assert.ok(entries.every(({ type }) => type !== 'skipped'));
    });
  });
});

describe('the text of a mail', () => {
  const items = [{ sku: 'a\r\nBcc: eve@evil.example\u2028<img src=x>', quantity: 1, unitPrice: 1 }];
  it('stays on its lines and out of the markup, whatever a customer named the goods', () => {
    for (const kind of mailKinds) {
      const { subject, text, html } = mailText(kind, orderWith({ items }));
      assert.doesNotMatch(subject, /eve/);
      assert.equal(text.split(/[\r\n\u2028\u2029]/).length, 4);
      assert.doesNotMatch(html, /<img|\r|\n|\u2028/);
    }
  });

  it('has the amount to the last digit, in every number of decimals', () => {
    const amounts: [amount: number, currency: string, written: string][] = [
      [9_007_199_254_740_991, 'USD', '$90,071,992,547,409.91'],
      [7_000_000_000_000_003, 'EUR', '€70,000,000,000,000.03'],
      [9_007_199_254_740_991, 'JPY', '¥9,007,199,254,740,991'],
      [9_007_199_254_740_991, 'KWD', 'KWD 9,007,199,254,740.991'],
      [1, 'USD', '$0.01'],
      [1, 'KWD', 'KWD 0.001'],
      [1, 'CLF', 'CLF 0.0001'],
      [100_000, 'HUF', 'HUF 1,000.00'],
    ];
    for (const [amount, currency, written] of amounts) {
      const { text } = mailText('processed', orderWith({ amount, currency }));
      assert.ok(text.replaceAll('\u00a0', ' ').includes(`: ${written}.`), text);
    }
  });

  it('ends after a bounded number of lines', () => {
    const many = Array.from({ length: 100 }, () => ({ sku: 'lamp', quantity: 1, unitPrice: 1 }));
    assert.match(mailText('processed', orderWith({ items: many })).text, /\nand 80 more$/);
  });
});
