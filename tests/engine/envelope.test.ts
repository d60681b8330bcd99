import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { envelopeBytesMax, isUnreadable, nameOf, readHint, toMessage } from '../../src/engine/envelope.ts';
import type { Event } from '../../src/engine/ports.ts';

const id = '01993b1e-7c3a-7d4e-9f10-2b6c8d0e4f12';
const event: Event = {
  id,
  type: 'PaymentAuthorizedV1',
  subject: '01993b1e-7c3a-7d4e-9f10-000000000001',
  version: 2,
  time: new Date('2026-11-21T07:00:00.123Z'),
  correlationId: 'c-1',
  causationId: '01993b1e-7c3a-7d4e-9f10-000000000002',
  traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
  data: { orderId: '01993b1e-7c3a-7d4e-9f10-000000000001', amount: 2500, currency: 'EUR', note: 'naïve – ünï' },
};
const bodyOf = (message: unknown) => Buffer.from(JSON.stringify(message));

describe('the envelope', () => {
  it('is a structured CloudEvent 1.0 with correlation, causation, trace and sequence', () => {
    const message = toMessage(event, 'payments.events.v1');
    assert.deepEqual(JSON.parse(message.body.toString('utf8')), {
      specversion: '1.0',
      id,
      source: '/orderly/payments',
      type: 'PaymentAuthorizedV1',
      subject: event.subject,
      time: '2026-11-21T07:00:00.123Z',
      datacontenttype: 'application/json',
      dataschema: 'urn:orderly:schemas/PaymentAuthorizedV1.json',
      sequence: '0000000002',
      correlationid: 'c-1',
      causationid: event.causationId,
      traceparent: event.traceparent,
      data: event.data,
    });
  });

  it('carries the keys that a broker routes and orders by', () => {
    const { body: _, ...keys } = toMessage(event, 'payments.events.v1');
    assert.deepEqual(keys, { id, key: event.subject, type: 'PaymentAuthorizedV1', stream: 'payments.events.v1' });
  });

  it('names its attributes as CloudEvents allows, and leaves out what is not known', () => {
    const first = toMessage({ ...event, causationId: null, traceparent: null }, 'orders.events.v1');
    const attributes = Object.keys(JSON.parse(first.body.toString('utf8')));
    assert.deepEqual(
      attributes.filter((name) => !/^[a-z0-9]{1,20}$/.test(name)),
      [],
    );
    assert.deepEqual(
      attributes.filter((name) => ['causationid', 'traceparent'].includes(name)),
      [],
    );
  });

  it('sorts by sequence as text the way versions sort as numbers', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 2 ** 31 - 1 }), fc.integer({ min: 1, max: 2 ** 31 - 1 }), (one, other) => {
        const [first, second] = [one, other].map(
          (version) => JSON.parse(toMessage({ ...event, version }, 'orders.events.v1').body.toString()).sequence,
        );
        assert.equal(Math.sign(first < second ? -1 : first > second ? 1 : 0), Math.sign(one - other));
      }),
    );
  });

  it('is read back as what it was written from', () => {
    fc.assert(
      fc.property(
        fc.uuid(),
        fc.integer({ min: 1, max: 2 ** 31 - 1 }),
        fc.stringMatching(/^[A-Z][A-Za-z]{0,30}V[1-9]\d?$/),
        fc.json(),
        (subject, version, type, json) => {
          const message = toMessage({ ...event, subject, version, type, data: { json } }, 'orders.events.v1');
          const { traceparent } = event;
          assert.deepEqual(readHint(message.body), { subject, version, type, traceparent });
        },
      ),
    );
  });

  const valid = { specversion: '1.0', subject: id, sequence: '0000000001', type: 'OrderCreatedV1' };
  const unreadable: Record<string, Buffer> = {
    nothing: Buffer.alloc(0),
    'bytes that are no text': Buffer.from([0xff, 0xfe, 0x00, 0x80]),
    'text that is no JSON': Buffer.from('{"specversion":"1.0",'),
    'no object': bodyOf('OrderCreatedV1'),
    'a list': bodyOf([valid]),
    null: bodyOf(null),
    'no version of CloudEvents': bodyOf({ ...valid, specversion: undefined }),
    'another version of CloudEvents': bodyOf({ ...valid, specversion: '2.0' }),
    'no subject': bodyOf({ ...valid, subject: undefined }),
    'a subject that is a number': bodyOf({ ...valid, subject: 1 }),
    'a subject that is no UUID': bodyOf({ ...valid, subject: "1' OR '1'='1" }),
    'a UUID with more behind it': bodyOf({ ...valid, subject: `${id}\n` }),
    'no sequence': bodyOf({ ...valid, sequence: undefined }),
    'a sequence that is a number': bodyOf({ ...valid, sequence: 1 }),
    'a sequence before the first': bodyOf({ ...valid, sequence: '0000000000' }),
    'a sequence beyond the last': bodyOf({ ...valid, sequence: '2147483648' }),
    'no type': bodyOf({ ...valid, type: undefined }),
    'an empty type': bodyOf({ ...valid, type: '' }),
    'a type that is an object': bodyOf({ ...valid, type: {} }),
  };
  for (const [name, body] of Object.entries(unreadable)) {
    it(`that is ${name} is unreadable, with the reason`, () => {
      const envelope = readHint(body);
      assert.ok(isUnreadable(envelope), JSON.stringify(envelope));
      assert.equal(envelope.code, 'unreadable');
      assert.ok(envelope.message.length > 0);
    });
  }

  it('is refused unread when it is larger than every broker takes', () => {
    const padded = (length: number) => {
      const body = bodyOf({ ...valid, data: '' });
      return bodyOf({ ...valid, data: 'x'.repeat(length - body.length) });
    };
    assert.equal(padded(envelopeBytesMax).length, 65_536);
    assert.deepEqual(readHint(padded(envelopeBytesMax)), { subject: id, version: 1, type: 'OrderCreatedV1' });
    const envelope = readHint(padded(envelopeBytesMax + 1));
    assert.equal(isUnreadable(envelope) && envelope.code, 'oversized');
  });

  it('never throws, whatever the bytes are', () => {
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 200 }), fc.json().map(Buffer.from)), (bytes) => {
        readHint(Buffer.from(bytes));
      }),
    );
  });

  it('knows the versions of one type by its name', () => {
    assert.deepEqual(['OrderCreatedV1', 'OrderCreatedV12', 'OrderCreated', 'V2Created'].map(nameOf), [
      'OrderCreated',
      'OrderCreated',
      'OrderCreated',
      'V2Created',
    ]);
  });
});
