// What the steps write, against the schemas; and the schemas, against everything ever written. A stored
// fixture is a message as some release published it: it may be added, never changed or removed.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { Compile } from 'typebox/compile';
import { type EventType, eventSchemas, eventTypes, type Happened, streamOf } from '../../src/domain/events.ts';
import type { Order } from '../../src/domain/order.ts';
import type { OrderRecord } from '../../src/domain/order-record.ts';
import { isRefusal } from '../../src/domain/refusals.ts';
import { isUnreadable, readHint } from '../../src/engine/envelope.ts';
import type { System, Trouble } from '../../src/engine/ports.ts';
import { cancelOrder } from '../../src/flow/orders/cancel-order.ts';
import { createOrderDesk } from '../../src/flow/orders/order-desk.ts';
import { reprocessOrder } from '../../src/flow/orders/reprocess-order.ts';
import type { OrderStore, Partners, PlaceRequest } from '../../src/flow/ports.ts';
import { toCounts } from '../../src/flow/projections/search-ports.ts';
import { type JobConsumer, subscriptions, toStep } from '../../src/flow/subscriptions.ts';
import { effectWith, orderWith, personal, someTime, someToken, workOn } from '../support/orders.ts';
import { createVirtualSystem } from '../support/virtual-system.ts';

const system: System = createVirtualSystem();
const folder = new URL('../fixtures/events/', import.meta.url);
const validators = Object.fromEntries(
  Object.entries(eventSchemas).map(([type, schema]) => [type, Compile(schema)]),
) as unknown as Record<EventType, ReturnType<typeof Compile>>;

// The events of every decision that writes any. No partner is called: their answers are given.
const step = (consumer: JobConsumer) => {
  const row = subscriptions.find((one) => one.consumer === consumer);
  assert.ok(row);
  return toStep(row, { payments: {}, carrier: {}, mail: {} } as Partners, system);
};
const decided = (consumer: JobConsumer, record: OrderRecord, result: unknown): readonly Happened[] => {
  const change = step(consumer).decide(record, workOn(record, { consumer }), result, someTime);
  assert.ok(change !== null && change !== 'obsolete');
  return change.events;
};
const parked = (consumer: JobConsumer, record: OrderRecord): readonly Happened[] => {
  const trouble: Trouble = { class: 'unknown', code: 'timeout', message: personal.words, dependencyDown: true };
  const change = step(consumer).parked(record, workOn(record, { consumer }), trouble, someTime);
  assert.ok(change !== null && change !== 'obsolete');
  return change.events;
};
const withEffects = (given: Partial<Order>, ...effects: ReturnType<typeof effectWith>[]): OrderRecord => ({
  order: orderWith(given),
  effects: Object.fromEntries(effects.map((effect) => [effect.name, effect])),
});
const authorized = { outcome: 'authorized', authorizationId: 'auth-1', expiresAt: someTime };
const declined = { outcome: 'declined', code: 'do-not-honor' };
const booked = { outcome: 'booked', bookingId: 'book-1' };
const rejected = { outcome: 'rejected', code: 'address-not-served' };
const paying = (status: Order['status']) => withEffects({ status }, effectWith('authorization'));
const booking = (status: Order['status']) =>
  withEffects({ status, payment: 'authorized', fulfillment: 'pending' }, effectWith('booking'));
const deadLetter = {
  ...{ id: 'dead letter', consumer: 'payment', version: 1, eventId: someToken, eventType: 'OrderCreatedV1', epoch: 0 },
};
const request = { reason: personal.words, correlationId: 'c-2', deadLetterId: null };

const written: Record<string, () => readonly Happened[] | Promise<readonly Happened[]>> = {
  'placing an order': async () => {
    const requests: PlaceRequest[] = [];
    const store = {
      place: async (placed: PlaceRequest) => {
        requests.push(placed);
        return { answer: 'placed', order: placed.order };
      },
    } as unknown as OrderStore;
    const search = { find: async () => ({ ids: [], next: null }), count: async () => toCounts(new Map()) };
    const command = { customerEmail: personal.customerEmail, userId: personal.userId, amount: 1_999 };
    const input = { command, received: command, key: null, correlationId: 'c-1', traceparent: null };
    await createOrderDesk({ store, search, system, simulatedPartners: true }).place(input);
    return requests.map(({ event }) => event);
  },
  'an authorization': () => decided('payment', paying('PROCESSING'), authorized),
  'an authorization that comes after the cancel': () => decided('payment', paying('CANCELED'), authorized),
  'a decline': () => decided('payment', paying('PROCESSING'), declined),
  'a decline that comes after the cancel': () => decided('payment', paying('CANCELED'), declined),
  'a payment that is given up': () => parked('payment', paying('PROCESSING')),
  'a payment that nobody could begin': () => parked('payment', withEffects({ status: 'PENDING' })),
  'a booking': () => decided('fulfillment', booking('PROCESSING'), booked),
  'a booking that comes after the cancel': () => decided('fulfillment', booking('CANCELED'), booked),
  'a rejected booking': () => decided('fulfillment', booking('PROCESSING'), rejected),
  'a booking that is rejected after the cancel': () => decided('fulfillment', booking('CANCELED'), rejected),
  'a booking that is given up': () => parked('fulfillment', booking('PROCESSING')),
  'undoing everything': () =>
    decided('compensation', withEffects({ status: 'CANCELED' }, effectWith('authorization'), effectWith('booking')), {
      recall: { outcome: 'recalled', bookingId: 'book-1' },
      voiding: { outcome: 'voided', authorizationId: 'auth-1' },
    }),
  'a cancel': () =>
    (['PENDING', 'PROCESSING', 'FAILED'] as const).flatMap((status) => {
      const change = cancelOrder(withEffects({ status }), [], request, someTime);
      assert.ok(change !== null && !isRefusal(change));
      return change.events;
    }),
  'a reprocess': () => {
    const change = reprocessOrder(withEffects({ status: 'FAILED' }), [deadLetter], request, someTime);
    assert.ok(!isRefusal(change));
    return change.events;
  },
};

describe('the events that are written', () => {
  for (const [name, events] of Object.entries(written)) {
    it(`by ${name} are valid`, async () => {
      const happened = await events();
      assert.notEqual(happened.length, 0);
      for (const { type, data } of happened) {
        // As it is stored and sent.
        const sent = JSON.parse(JSON.stringify(data));
        assert.deepEqual([...validators[type].Errors(sent)], [], `${type} ${JSON.stringify(sent)}`);
        const unknown = Object.keys(sent).filter((name) => !(name in eventSchemas[type].properties));
        assert.deepEqual(unknown, [], `${type} has fields that its schema does not name`);
      }
    });
  }

  it('are all the events there are', async () => {
    const types = await Promise.all(
      Object.values(written).map(async (events) => (await events()).map(({ type }) => type)),
    );
    assert.deepEqual([...new Set(types.flat())].sort(), [...eventTypes].sort());
  });

  it('carry nothing personal: no address, no user, no words of a customer or a partner', async () => {
    const all = JSON.stringify(await Promise.all(Object.values(written).map((events) => events())));
    for (const secret of Object.values(personal)) assert.ok(!all.includes(secret), secret);
  });
});

describe('the schemas of the events', () => {
  it('name no field that could hold personal data or free text', () => {
    const suspicious = /mail|name|user|customer|address|phone|message|text|note|comment/i;
    for (const [type, schema] of Object.entries(eventSchemas)) {
      const fields = Object.keys(schema.properties).filter((field) => suspicious.test(field));
      assert.deepEqual(fields, [], type);
    }
  });

  it('give every event the order it is about, its version in the name and a topic', () => {
    for (const type of eventTypes) {
      assert.match(type, /^[A-Z][A-Za-z]+V[1-9]\d*$/);
      assert.ok((eventSchemas[type].required as readonly string[]).includes('orderId'), type);
      assert.match(streamOf[type], /^(orders|payments|fulfillment)\.events\.v1$/);
    }
  });

  it('have a stored fixture each, and no fixture is without its schema', () => {
    const files = readdirSync(folder).map((name) => name.replace(/\.json$/, ''));
    assert.deepEqual(
      [...eventTypes].filter((type) => !files.includes(type)),
      [],
      'store a message of each new version under tests/fixtures/events/',
    );
    assert.deepEqual(
      files.filter((type) => !(type in eventSchemas)),
      [],
      'a version that was ever written is read for ever: keep its schema',
    );
  });

  for (const file of readdirSync(folder)) {
    it(`still take what ${file} holds`, () => {
      const type = file.replace(/\.json$/, '') as EventType;
      const messages = JSON.parse(readFileSync(new URL(file, folder), 'utf8')) as Record<string, unknown>[];
      assert.notEqual(messages.length, 0);
      for (const message of messages) {
        const hint = readHint(Buffer.from(JSON.stringify(message)));
        assert.ok(!isUnreadable(hint));
        const { subject, traceparent = null } = message;
        assert.deepEqual(
          { traceparent: null, ...hint },
          { subject, version: Number(message.sequence), type, traceparent },
        );
        assert.deepEqual([...validators[type].Errors(message.data)], [], JSON.stringify(message.data));
      }
    });
  }
});
