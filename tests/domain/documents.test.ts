// The published documents of the events: as the code has them, and as the tools of others read them.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, it } from 'node:test';
import { Parser } from '@asyncapi/parser';
import { Ajv2020 } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import { CloudEvent, HTTP, Kafka } from 'cloudevents';
import { type EventType, eventTypes, streamOf } from '../../src/domain/events.ts';
import { toMessage } from '../../src/engine/envelope.ts';

const root = dirname(dirname(import.meta.dirname));
const fixtures = join(root, 'tests/fixtures/events');
const stored = readdirSync(fixtures).flatMap(
  (file) => JSON.parse(readFileSync(join(fixtures, file), 'utf8')) as Record<string, unknown>[],
);

describe('the published documents of the events', () => {
  it('are an AsyncAPI document in which its own parser finds nothing', async () => {
    const text = readFileSync(join(root, 'docs/asyncapi.json'), 'utf8');
    const { document, diagnostics } = await new Parser().parse(text);
    const found = diagnostics.map(({ code, message, path }) => `${code} at ${path.join('.')}: ${message}`);
    assert.deepEqual(found, []);
    assert.deepEqual(
      document
        ?.allMessages()
        .map((message) => message.name())
        .sort(),
      [...eventTypes].sort(),
    );
  });

  it('accept every message that was ever published, and refuse one whose data is another event’s', () => {
    const ajv = new Ajv2020({ strict: false });
    addFormats.default(ajv);
    const schemaAt = (name: string) =>
      JSON.parse(readFileSync(join(root, `docs/schemas/${name}.json`), 'utf8')) as object;
    const isEnvelope = ajv.compile(schemaAt('envelope'));
    const isData = new Map(eventTypes.map((type) => [type, ajv.compile(schemaAt(type))]));
    for (const message of stored) {
      assert.ok(isEnvelope(message), JSON.stringify(isEnvelope.errors));
      const validate = isData.get(message.type as EventType);
      assert.ok(validate?.(message.data), JSON.stringify(validate?.errors));
    }
    assert.equal(isData.get('OrderCreatedV1')?.({ orderId: stored[0]?.subject }), false);
    assert.equal(isEnvelope({ ...stored[0], specversion: '0.3' }), false);
  });
});

describe('an event on the bus', () => {
  it('is a CloudEvent to the library of CloudEvents, over HTTP and over Kafka', () => {
    for (const type of eventTypes) {
      const given = stored.find((message) => message.type === type);
      assert.ok(given, `there is no fixture of ${type}`);
      const { key, body } = toMessage(
        {
          id: String(given.id),
          type,
          subject: String(given.subject),
          version: Number(given.sequence),
          time: new Date(String(given.time)),
          correlationId: String(given.correlationid),
          causationId: null,
          traceparent: null,
          data: given.data as Record<string, unknown>,
        },
        streamOf[type],
      );
      const headers = { 'content-type': 'application/cloudevents+json' };
      const read = [
        HTTP.toEvent({ headers, body: body.toString('utf8') }),
        Kafka.toEvent({ headers, body: body.toString('utf8'), key, value: body.toString('utf8') } as never),
      ];
      for (const event of read) {
        assert.ok(event instanceof CloudEvent);
        assert.ok(event.validate(), 'it is valid by its own rules');
        assert.deepEqual([event.id, event.type, event.subject], [given.id, type, given.subject]);
        assert.deepEqual(event.data, given.data);
        assert.equal(event.sequence, given.sequence);
      }
    }
  });
});
