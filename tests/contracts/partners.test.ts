// One suite for both ways to the simulated partners: in process, and over HTTP to a listening sandbox.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import type { OrderId, PaymentScenario } from '../../src/domain/order.ts';
import { OutsideError } from '../../src/engine/ports.ts';
import type { Partners } from '../../src/flow/ports.ts';
import { createHttpPartners } from '../../src/io/partners/http.ts';
import { type Ledger, openLedger } from '../../src/io/partners/ledger.ts';
import { createIdOnlyPartners, createLocalPartners } from '../../src/io/partners/local.ts';
import { createSandboxServer } from '../../src/io/partners/server.ts';
import { createStage, type Stage } from '../../src/io/partners/stage.ts';
import { undoingByRepetition } from '../../src/io/partners/undoing-by-repetition.ts';

type Opened = { readonly partners: Partners; readonly close: () => Promise<void> };
type Way = (ledger: Ledger, stage: Stage) => Promise<Opened>;

let ids = 0;
const newId = () => `id-${++ids}`;
const now = new Date('2026-11-21T07:00:00.000Z');
const system = { now: () => now, newId };
const silent = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
const patient = () => new AbortController().signal;

async function overHttp(ledger: Ledger, stage: Stage, hasTombstones = true): Promise<Opened> {
  const server = createSandboxServer({ ledger, stage, system, log: silent, gate: () => null, hasTombstones });
  const partners = createHttpPartners({ url: await server.listen({ host: '127.0.0.1', port: 0 }) });
  const close = async () => {
    partners.close();
    await server.close();
  };
  return { partners, close };
}

const ways: Record<string, Way> = {
  'in process': async (ledger, stage) => ({
    partners: createLocalPartners({ ledger, stage, system }),
    close: async () => {},
  }),
  'over HTTP': (ledger, stage) => overHttp(ledger, stage),
};

// Partners over a ledger of their own, for the tests of the `describe` that calls this.
function openedFor(open: Way) {
  const directory = mkdtempSync(join(tmpdir(), 'orderly-partners-'));
  const stage = createStage();
  let ledger: Ledger;
  let opened: Opened;
  before(async () => {
    ledger = openLedger({ directory });
    opened = await open(ledger, stage);
  });
  after(async () => {
    await opened.close();
    ledger.close();
    rmSync(directory, { recursive: true });
  });
  return {
    stage,
    get ledger() {
      return ledger;
    },
    get partners() {
      return opened.partners;
    },
  };
}

async function troubleOf(call: Promise<unknown>) {
  try {
    assert.fail(`answered ${JSON.stringify(await call)}`);
  } catch (error) {
    if (!(error instanceof OutsideError)) throw error;
    const { message: _, ...trouble } = error.trouble;
    return trouble;
  }
}

const retryable = { class: 'retryable', code: 'provider-unavailable', dependencyDown: false };
const timeout = (dependencyDown: boolean) => ({ class: 'unknown', code: 'timeout', dependencyDown });

for (const [name, open] of Object.entries(ways)) {
  describe(`partners ${name}`, () => {
    const opened = openedFor(open);
    const { stage } = opened;

    const newOrder = () => newId() as OrderId;
    const payment = (orderId: OrderId, scenario: PaymentScenario = 'success', epoch = 0) => ({
      key: `${orderId}:authorization:0`,
      orderId,
      amount: 1_999,
      currency: 'USD',
      scenario,
      epoch,
    });
    const shipment = (orderId: OrderId, country = 'US') => ({
      key: `${orderId}:booking:0`,
      orderId,
      country,
      items: [{ sku: 'lamp', quantity: 2, unitPrice: 1_250 }],
    });
    const mailTo = (orderId: OrderId) => ({
      key: `${orderId}:mail:processed`,
      orderId,
      kind: 'processed' as const,
      to: 'a@example.com',
      subject: 'Your order',
      text: 'It is on its way.',
    });
    const authorize = (request: ReturnType<typeof payment>, signal = patient()) =>
      opened.partners.payments.authorize(request, signal);
    const entriesOf = (orderId: OrderId) => opened.ledger.entries({ orderId, afterPosition: 0, limit: 10 });
    const statesOf = (orderId: OrderId) => entriesOf(orderId).map((entry) => entry.state);

    // Starts a call that hangs, gives it up once it does, and answers its trouble.
    async function abandon(start: (signal: AbortSignal) => Promise<unknown>) {
      const caller = new AbortController();
      const trouble = troubleOf(start(caller.signal));
      let settled = false;
      void trouble.finally(() => (settled = true)).catch(() => {});
      while (stage.state().hanging === 0 && !settled) await setImmediate();
      caller.abort();
      const answer = await trouble;
      while (stage.state().hanging > 0) await setImmediate();
      return answer;
    }

    describe('provider', () => {
      test('an authorization repeated with its key is the same authorization', async () => {
        const order = newOrder();
        const first = await authorize(payment(order));
        assert.equal(first.outcome, 'authorized');
        assert.deepEqual(await authorize(payment(order)), first);
        assert.deepEqual(await opened.partners.payments.lookup(payment(order).key, patient()), first);
        assert.deepEqual(statesOf(order), ['authorized']);
      });

      test('an authorization holds for seven days', async () => {
        const answer = await authorize(payment(newOrder()));
        assert.ok(answer.outcome === 'authorized');
        assert.deepEqual(answer.expiresAt, new Date('2026-11-28T07:00:00.000Z'));
      });

      test('racing authorizations of one key hold the money once', async () => {
        const order = newOrder();
        const answers = await Promise.all(Array.from({ length: 20 }, () => authorize(payment(order))));
        assert.equal(new Set(answers.map((answer) => JSON.stringify(answer))).size, 1);
        assert.equal(entriesOf(order).length, 1);
      });

      test('a key used with another amount, currency or order is refused for good', async () => {
        const order = newOrder();
        const request = payment(order);
        await authorize(request);
        const changed = { class: 'non-retryable', code: 'key-parameters-changed', dependencyDown: false };
        assert.deepEqual(await troubleOf(authorize({ ...request, amount: 2_000 })), changed);
        assert.deepEqual(await troubleOf(authorize({ ...request, currency: 'EUR' })), changed);
        assert.deepEqual(await troubleOf(authorize({ ...request, orderId: newOrder() })), changed);
        const elsewhere = { key: request.key, orderId: newOrder() };
        assert.deepEqual(await troubleOf(opened.partners.payments.void(elsewhere, patient())), changed);
      });

      test('a lookup of a key that was never used finds nothing and claims nothing', async () => {
        const order = newOrder();
        assert.equal(await opened.partners.payments.lookup(payment(order).key, patient()), null);
        assert.equal((await authorize(payment(order))).outcome, 'authorized');
      });

      test('a void releases the money, once, and repeats its answer', async () => {
        const order = newOrder();
        const held = await authorize(payment(order));
        assert.ok(held.outcome === 'authorized');
        const voided = { outcome: 'voided', authorizationId: held.authorizationId };
        assert.deepEqual(await opened.partners.payments.void(payment(order), patient()), voided);
        assert.deepEqual(await opened.partners.payments.void(payment(order), patient()), voided);
        assert.deepEqual(statesOf(order), ['voided']);
      });

      test('an authorization repeated after its void is closed, for no money is held any more', async () => {
        const order = newOrder();
        await authorize(payment(order));
        await opened.partners.payments.void(payment(order), patient());
        assert.deepEqual(await authorize(payment(order)), { outcome: 'closed' });
        assert.deepEqual(await opened.partners.payments.lookup(payment(order).key, patient()), { outcome: 'closed' });
      });

      test('a void that comes before its authorization closes the key to it', async () => {
        const order = newOrder();
        const nothing = { outcome: 'nothing-held' };
        assert.deepEqual(await opened.partners.payments.void(payment(order), patient()), nothing);
        assert.deepEqual(await authorize(payment(order)), { outcome: 'closed' });
        assert.deepEqual(await opened.partners.payments.void(payment(order), patient()), nothing);
        assert.deepEqual(statesOf(order), ['closed']);
      });

      test('a void directed to be refused leaves the money held', async () => {
        const order = newOrder();
        await authorize(payment(order));
        stage.direct({ call: 'void', act: 'refuse', orderId: order });
        const answer = await opened.partners.payments.void(payment(order), patient());
        assert.ok(answer.outcome === 'refused');
        assert.deepEqual([answer.code, statesOf(order)], ['not-voidable', ['authorized']]);
        assert.deepEqual((await opened.partners.payments.void(payment(order), patient())).outcome, 'voided');
      });
    });

    describe('a failure that is kept with its key', () => {
      const broken = { class: 'unknown', code: 'partner-broken', dependencyDown: true };
      const spent = { outcome: 'spent', code: 'status-500' };

      for (const act of ['break-before', 'break-after'] as const) {
        const isDone = act === 'break-after';
        test(`of an authorization, directed to ${act}, is all that the key answers from then on`, async () => {
          const order = newOrder();
          stage.direct({ call: 'authorize', act, orderId: order });
          assert.deepEqual(await troubleOf(authorize(payment(order))), broken);
          assert.deepEqual(await authorize(payment(order)), spent);
          assert.deepEqual(await authorize(payment(order)), spent);
          const found = await opened.partners.payments.lookup(payment(order).key, patient());
          assert.equal(found?.outcome, isDone ? 'authorized' : undefined);
          const other = await authorize({ ...payment(order), key: `${order}:authorization:1` });
          assert.equal(other.outcome, 'authorized');
          const { outcome } = await opened.partners.payments.void(payment(order), patient());
          assert.equal(outcome, isDone ? 'voided' : 'nothing-held');
        });

        test(`of a booking, directed to ${act}, is all that the key answers from then on`, async () => {
          const order = newOrder();
          const { book, lookup } = opened.partners.carrier;
          stage.direct({ call: 'book', act, orderId: order });
          assert.deepEqual(await troubleOf(book(shipment(order), patient())), broken);
          assert.deepEqual(await book(shipment(order), patient()), spent);
          const found = await lookup(shipment(order).key, patient());
          assert.equal(found?.outcome, isDone ? 'booked' : undefined);
        });
      }

      test('is none of a void: it is answered as if it had not been asked before', async () => {
        const order = newOrder();
        await authorize(payment(order));
        stage.direct({ call: 'void', act: 'break-after', orderId: order });
        assert.deepEqual(await troubleOf(opened.partners.payments.void(payment(order), patient())), broken);
        assert.equal((await opened.partners.payments.void(payment(order), patient())).outcome, 'voided');
      });
    });

    describe('scenario', () => {
      test('failure: the card is declined, and declined again', async () => {
        const order = newOrder();
        const declined = { outcome: 'declined', code: 'card-declined' };
        assert.deepEqual(await authorize(payment(order, 'failure')), declined);
        assert.deepEqual(await authorize(payment(order, 'failure')), declined);
        assert.deepEqual(await opened.partners.payments.void(payment(order), patient()), { outcome: 'nothing-held' });
      });

      test('flaky: two calls of the order fail without effect, whatever their keys, then it authorizes', async () => {
        const order = newOrder();
        assert.deepEqual(await troubleOf(authorize(payment(order, 'flaky'))), retryable);
        assert.deepEqual(await troubleOf(authorize({ ...payment(order, 'flaky'), key: `${order}:1` })), retryable);
        assert.deepEqual(statesOf(order), []);
        assert.equal((await authorize(payment(order, 'flaky'))).outcome, 'authorized');
      });

      test('timeout: the first call hangs without effect, the next authorizes', async () => {
        const order = newOrder();
        assert.deepEqual(await abandon((signal) => authorize(payment(order, 'timeout'), signal)), timeout(false));
        assert.deepEqual(statesOf(order), []);
        assert.equal((await authorize(payment(order, 'timeout'))).outcome, 'authorized');
      });

      test('lost-answer: the first call authorizes and hangs, the next answers the same authorization', async () => {
        const order = newOrder();
        assert.deepEqual(await abandon((signal) => authorize(payment(order, 'lost-answer'), signal)), timeout(false));
        const [entry] = entriesOf(order);
        const answer = await authorize(payment(order, 'lost-answer'));
        assert.ok(answer.outcome === 'authorized');
        assert.equal(answer.authorizationId, entry?.reference);
        assert.deepEqual(statesOf(order), ['authorized']);
      });

      test('outage: every call fails without effect until the order has been reprocessed', async () => {
        const order = newOrder();
        for (let call = 0; call < 4; call += 1) {
          assert.deepEqual(await troubleOf(authorize(payment(order, 'outage'))), retryable);
        }
        assert.equal((await authorize(payment(order, 'outage', 1))).outcome, 'authorized');
      });

      test('fatal: every call is refused for good, also after a reprocess', async () => {
        const order = newOrder();
        const refused = { class: 'non-retryable', code: 'provider-refused', dependencyDown: false };
        assert.deepEqual(await troubleOf(authorize(payment(order, 'fatal'))), refused);
        assert.deepEqual(await troubleOf(authorize(payment(order, 'fatal', 1))), refused);
        assert.deepEqual(statesOf(order), []);
      });
    });

    describe('carrier', () => {
      const book = (request: ReturnType<typeof shipment>, signal = patient()) =>
        opened.partners.carrier.book(request, signal);
      const recall = (orderId: OrderId, signal = patient()) =>
        opened.partners.carrier.recall(shipment(orderId), signal);

      test('a booking repeated with its key is the same booking', async () => {
        const order = newOrder();
        const first = await book(shipment(order));
        assert.equal(first.outcome, 'booked');
        const shuffled = [{ unitPrice: 1_250, sku: 'lamp', quantity: 2 }];
        assert.deepEqual(await book({ ...shipment(order), items: shuffled }), first);
        assert.deepEqual(await opened.partners.carrier.lookup(shipment(order).key, patient()), first);
        assert.deepEqual(statesOf(order), ['booked']);
      });

      test('a booking repeated with another country or content is refused for good', async () => {
        const order = newOrder();
        await book(shipment(order));
        const changed = { class: 'non-retryable', code: 'key-parameters-changed', dependencyDown: false };
        assert.deepEqual(await troubleOf(book(shipment(order, 'CA'))), changed);
        const other = { ...shipment(order), items: [{ sku: 'desk', quantity: 1, unitPrice: 1 }] };
        assert.deepEqual(await troubleOf(book(other)), changed);
      });

      test('a recall takes the booking back, once, and closes the key', async () => {
        const order = newOrder();
        const booked = await book(shipment(order));
        assert.ok(booked.outcome === 'booked');
        const recalled = { outcome: 'recalled', bookingId: booked.bookingId };
        assert.deepEqual(await recall(order), recalled);
        assert.deepEqual(await recall(order), recalled);
        assert.deepEqual(await book(shipment(order)), { outcome: 'closed' });
        assert.deepEqual(statesOf(order), ['recalled']);
      });

      test('a recall that comes before its booking closes the key to it', async () => {
        const order = newOrder();
        assert.deepEqual(await recall(order), { outcome: 'nothing-booked' });
        assert.deepEqual(await book(shipment(order)), { outcome: 'closed' });
        assert.deepEqual(statesOf(order), ['closed']);
      });

      test('a recall directed to be refused leaves the shipment booked', async () => {
        const order = newOrder();
        const booked = await book(shipment(order));
        assert.ok(booked.outcome === 'booked');
        stage.direct({ call: 'recall', act: 'refuse', orderId: order });
        const refused = { outcome: 'refused', bookingId: booked.bookingId, code: 'too-late' };
        assert.deepEqual(await recall(order), refused);
        assert.deepEqual(statesOf(order), ['booked']);
        assert.deepEqual(await recall(order), { outcome: 'recalled', bookingId: booked.bookingId });
      });

      test('a booking directed to be refused is rejected, and stays rejected', async () => {
        const order = newOrder();
        stage.direct({ call: 'book', act: 'refuse', orderId: order });
        const rejected = { outcome: 'rejected', code: 'not-deliverable' };
        assert.deepEqual(await book(shipment(order)), rejected);
        assert.deepEqual(await book(shipment(order)), rejected);
        assert.deepEqual(await recall(order), { outcome: 'nothing-booked' });
      });

      test('a direction for a country meets its bookings and recalls and no others', async () => {
        const [there, here] = [newOrder(), newOrder()];
        stage.direct({ call: 'recall', act: 'refuse', country: 'NO' });
        await book(shipment(there, 'NO'));
        await book(shipment(here));
        assert.equal((await recall(here)).outcome, 'recalled');
        assert.equal((await recall(there)).outcome, 'refused');
      });

      test('a booking that hangs before it acts has booked nothing', async () => {
        const order = newOrder();
        stage.direct({ call: 'book', act: 'hang-before', orderId: order });
        assert.deepEqual(await abandon((signal) => book(shipment(order), signal)), timeout(true));
        assert.deepEqual(statesOf(order), []);
      });

      test('a booking that hangs after it acted is booked, and its key tells so', async () => {
        const order = newOrder();
        stage.direct({ call: 'book', act: 'hang-after', orderId: order });
        assert.deepEqual(await abandon((signal) => book(shipment(order), signal)), timeout(true));
        assert.deepEqual(statesOf(order), ['booked']);
        assert.equal((await book(shipment(order))).outcome, 'booked');
      });

      test('a recall that hangs after it acted has recalled', async () => {
        const order = newOrder();
        await book(shipment(order));
        stage.direct({ call: 'recall', act: 'hang-after', orderId: order });
        assert.deepEqual(await abandon((signal) => recall(order, signal)), timeout(true));
        assert.deepEqual(statesOf(order), ['recalled']);
      });
    });

    describe('mail', () => {
      test('a mail repeated with its key is sent once, also when it is worded anew', async () => {
        const order = newOrder();
        await opened.partners.mail.send(mailTo(order), patient());
        await opened.partners.mail.send({ ...mailTo(order), text: 'It has left.' }, patient());
        assert.deepEqual(statesOf(order), ['sent']);
        assert.match(entriesOf(order)[0]?.terms ?? '', /on its way/);
      });

      test('a mail whose answer is lost is not sent again when it is repeated', async () => {
        const order = newOrder();
        stage.direct({ call: 'send', act: 'hang-after', orderId: order });
        const trouble = await abandon((signal) => opened.partners.mail.send(mailTo(order), signal));
        assert.deepEqual(trouble, timeout(true));
        await opened.partners.mail.send(mailTo(order), patient());
        assert.deepEqual(statesOf(order), ['sent']);
      });

      test('a mail directed to be refused is not sent', async () => {
        const order = newOrder();
        stage.direct({ call: 'send', act: 'refuse', orderId: order });
        const refused = { class: 'non-retryable', code: 'mail-refused', dependencyDown: false };
        assert.deepEqual(await troubleOf(opened.partners.mail.send(mailTo(order), patient())), refused);
        assert.deepEqual(statesOf(order), []);
      });
    });

    describe('stage', () => {
      test('a partner that is down reports the dependency down, does nothing, and comes back', async () => {
        const order = newOrder();
        const down = { class: 'retryable', code: 'partner-unavailable', dependencyDown: true };
        stage.direct({ all: 'down' });
        assert.deepEqual(await troubleOf(authorize(payment(order))), down);
        assert.deepEqual(await troubleOf(opened.partners.payments.void(payment(order), patient())), down);
        assert.deepEqual(await troubleOf(opened.partners.carrier.book(shipment(order), patient())), down);
        assert.deepEqual(await troubleOf(opened.partners.carrier.lookup(shipment(order).key, patient())), down);
        assert.deepEqual(await troubleOf(opened.partners.mail.send(mailTo(order), patient())), down);
        assert.deepEqual(statesOf(order), []);
        stage.direct({ all: 'up' });
        assert.equal((await authorize(payment(order))).outcome, 'authorized');
      });

      test('one partner may be down while the others work', async () => {
        const order = newOrder();
        stage.direct({ carrier: 'down' });
        assert.equal((await authorize(payment(order))).outcome, 'authorized');
        assert.equal((await troubleOf(opened.partners.carrier.book(shipment(order), patient()))).dependencyDown, true);
        stage.clear();
      });

      test('a call turned away by a partner that is down does not advance a scenario', async () => {
        const order = newOrder();
        stage.direct({ payments: 'down' });
        await troubleOf(authorize(payment(order, 'flaky')));
        stage.clear();
        assert.deepEqual(await troubleOf(authorize(payment(order, 'flaky'))), retryable);
        assert.deepEqual(await troubleOf(authorize(payment(order, 'flaky'))), retryable);
        assert.deepEqual(
          opened.ledger.callsOf(order).map((each) => ({ ...each })),
          [{ call: 'authorize', calls: 2 }],
        );
      });

      test('a partner that throttles says how long to wait', async () => {
        stage.direct({ payments: 'throttle', retryAfterSeconds: 7 });
        const slower = { class: 'throttled', code: 'partner-throttled', dependencyDown: false, retryAfterMs: 7_000 };
        assert.deepEqual(await troubleOf(authorize(payment(newOrder()))), slower);
        stage.clear();
      });

      test('a failure directed for a number of calls ends with them', async () => {
        const order = newOrder();
        stage.direct({ call: 'book', act: 'fail', orderId: order, times: 2 });
        const failed = { class: 'retryable', code: 'partner-failed', dependencyDown: false };
        const book = () => opened.partners.carrier.book(shipment(order), patient());
        assert.deepEqual(await troubleOf(book()), failed);
        assert.deepEqual(await troubleOf(book()), failed);
        assert.equal((await book()).outcome, 'booked');
      });

      test('a direction without an order meets the next call of any order', async () => {
        stage.direct({ call: 'authorize', act: 'refuse' });
        assert.equal((await authorize(payment(newOrder()))).outcome, 'declined');
        assert.equal((await authorize(payment(newOrder()))).outcome, 'authorized');
      });

      test('an authorization that hangs for no scenario reports the dependency down', async () => {
        const order = newOrder();
        stage.direct({ call: 'authorize', act: 'hang-after', orderId: order });
        assert.deepEqual(await abandon((signal) => authorize(payment(order), signal)), timeout(true));
        assert.deepEqual(statesOf(order), ['authorized']);
      });

      test('a call given up before it was sent has certainly done nothing', async () => {
        const order = newOrder();
        const trouble = await troubleOf(authorize(payment(order), AbortSignal.abort()));
        assert.deepEqual(trouble, { class: 'retryable', code: 'not-sent', dependencyDown: false });
        assert.deepEqual(opened.ledger.callsOf(order), []);
      });
    });
  });
}

// Behind the adapter that such partners need, in the process and over HTTP.
const withoutTombstones: typeof ways = {
  'in this process': async (ledger, stage) => ({
    partners: createIdOnlyPartners({ ledger, stage, system }),
    close: async () => {},
  }),
  'over HTTP': async (ledger, stage) => {
    const { partners, close } = await overHttp(ledger, stage, false);
    return { partners: undoingByRepetition(partners), close };
  },
};

for (const [name, open] of Object.entries(withoutTombstones)) {
  describe(`partners ${name} that undo by their own id alone`, () => {
    const opened = openedFor(open);
    const { stage } = opened;
    const statesOf = (orderId: OrderId) =>
      opened.ledger.entries({ orderId, afterPosition: 0, limit: 10 }).map((entry) => entry.state);
    const paymentOf = (orderId: OrderId) => {
      const request = { amount: 1_999, currency: 'USD', scenario: 'success', epoch: 0 } as const;
      return { ...request, key: `${orderId}:authorization:0`, orderId };
    };
    const undoOf = <Q extends { key: string; orderId: OrderId }>(request: Q, mayHaveForgotten = false) => {
      const { key, orderId } = request;
      return { key, orderId, of: { request, mayHaveForgotten } };
    };

    test('an undo leaves nothing, whether the call had come before it or comes after it', async () => {
      const { authorize, void: undo } = opened.partners.payments;
      for (const isFirst of [true, false]) {
        const request = paymentOf(newId() as OrderId);
        if (isFirst) await authorize(request, patient());
        assert.equal((await undo(undoOf(request), patient())).outcome, 'voided');
        assert.equal((await undo(undoOf(request), patient())).outcome, 'voided');
        // The late one hears the first answer again, and does nothing.
        assert.equal((await authorize(request, patient())).outcome, 'authorized');
        assert.deepEqual(statesOf(request.orderId), ['voided']);
      }
    });

    test('a recall leaves nothing, and one that is too late says so', async () => {
      const { recall } = opened.partners.carrier;
      const orderId = newId() as OrderId;
      const items = [{ sku: 'lamp', quantity: 2, unitPrice: 1_250 }];
      const request = { key: `${orderId}:booking:0`, orderId, country: 'US', items };
      stage.direct({ call: 'recall', act: 'refuse', orderId });
      assert.equal((await recall(undoOf(request), patient())).outcome, 'refused');
      assert.equal((await recall(undoOf(request), patient())).outcome, 'recalled');
      assert.deepEqual(statesOf(orderId), ['recalled']);
    });

    test('what was declined, or failed for good and did nothing, holds nothing', async () => {
      const { authorize, void: undo } = opened.partners.payments;
      const declined = { ...paymentOf(newId() as OrderId), scenario: 'failure' as const };
      assert.deepEqual(await undo(undoOf(declined), patient()), { outcome: 'nothing-held' });
      const failed = paymentOf(newId() as OrderId);
      stage.direct({ call: 'authorize', act: 'break-before', orderId: failed.orderId });
      await troubleOf(authorize(failed, patient()));
      assert.deepEqual(await undo(undoOf(failed), patient()), { outcome: 'nothing-held' });
    });

    test('a key that may be forgotten is looked up and never repeated', async () => {
      const { authorize, void: undo } = opened.partners.payments;
      const done = paymentOf(newId() as OrderId);
      await authorize(done, patient());
      assert.equal((await undo(undoOf(done, true), patient())).outcome, 'voided');
      const lost = paymentOf(newId() as OrderId);
      const unresolved = { class: 'non-retryable', code: 'outcome-unresolved', dependencyDown: false };
      assert.deepEqual(await troubleOf(undo(undoOf(lost, true), patient())), unresolved);
      assert.deepEqual(statesOf(lost.orderId), []);
    });
  });
}
