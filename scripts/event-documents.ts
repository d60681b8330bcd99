// The published documents of the events, made from the schemas that the code itself uses: a JSON Schema per
// type and version, one of the envelope, and an AsyncAPI document of who publishes and who reads what.
//
// Promises: the same code makes the same bytes; nothing here is written by hand twice. Every example is
// what the code publishes for an event.
// Relies on the stored fixtures for the data of the examples.

import { readFileSync } from 'node:fs';
import { type EventType, eventSchemas, eventTypes, streamOf } from '../src/domain/events.ts';
import { envelopeBytesMax, toMessage } from '../src/engine/envelope.ts';
import { readers } from '../src/flow/subscriptions.ts';

type Json = { readonly [name: string]: unknown };
// By path relative to the repository.
export type Documents = ReadonlyMap<string, string>;

const draft = 'https://json-schema.org/draft/2020-12/schema';
const contentType = 'application/cloudevents+json';
const fixtures = new URL('../tests/fixtures/events/', import.meta.url);
const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
  version: string;
};

const uuid = { type: 'string', format: 'uuid' };
const envelope: Json = {
  title: 'Envelope of an event',
  description: `CloudEvents 1.0, structured JSON, at most ${envelopeBytesMax} bytes. Unknown attributes may be added.`,
  type: 'object',
  required: [
    ...['specversion', 'id', 'source', 'type', 'subject', 'time', 'datacontenttype', 'dataschema', 'sequence'],
    ...['correlationid', 'data'],
  ],
  properties: {
    specversion: { const: '1.0' },
    id: { ...uuid, description: 'The event; the same in every repetition of the message' },
    source: { type: 'string', pattern: '^/orderly/[a-z]+$' },
    type: { type: 'string', pattern: '^[A-Z][A-Za-z]*V[1-9][0-9]*$' },
    subject: { ...uuid, description: 'The order; also the key of the message' },
    time: { type: 'string', format: 'date-time' },
    datacontenttype: { const: 'application/json' },
    dataschema: { type: 'string', pattern: '^urn:orderly:schemas/\\w+\\.json$' },
    sequence: {
      type: 'string',
      pattern: '^[0-9]{10}$',
      description: "The order's version after this event: without a gap per order, and sorted as text as numbers are",
    },
    correlationid: { type: 'string', description: "X-Correlation-Id of the request that began it, or Orderly's own" },
    causationid: { ...uuid, description: 'The event that caused this one; absent on the first' },
    traceparent: { type: 'string', description: 'W3C Trace Context; absent when nothing is traced' },
    data: { type: 'object' },
  },
};

export function makeDocuments(): Documents {
  const pages: [string, Json][] = [
    ['docs/schemas/envelope.json', { $schema: draft, $id: 'urn:orderly:schemas/envelope.json', ...envelope }],
    ...eventTypes.map((type): [string, Json] => [`docs/schemas/${type}.json`, { ...schemaOf(type) }]),
    ['docs/asyncapi.json', asyncapi()],
  ];
  return new Map(pages.map(([path, page]) => [path, `${JSON.stringify(page, null, 2)}\n`]));
}

function schemaOf(type: EventType): Json {
  return { $schema: draft, $id: `urn:orderly:schemas/${type}.json`, title: type, ...plain(eventSchemas[type]) };
}

// Without what the schema library keeps beside the schema.
function plain(schema: unknown): Json {
  return JSON.parse(JSON.stringify(schema)) as Json;
}

function asyncapi(): Json {
  const streams = [...new Set(Object.values(streamOf))];
  const readings = readers.flatMap((row) =>
    streams
      .map((stream) => ({ row, stream, types: row.types.filter((type) => isOf(type, stream)) }))
      .filter(({ types }) => types.length > 0),
  );
  return {
    asyncapi: '3.1.0',
    info: {
      title: 'Orderly: events on the bus',
      version,
      description:
        'Events are CloudEvents 1.0 in structured JSON, keyed by order. They come at least once; first occurrences ' +
        'are in order per order and topic. With `KAFKA_TOPIC_LAYOUT=by-type` each type has a topic of its own. ' +
        'A message tells that something happened; nobody can move an order by writing one.',
      license: { name: 'MIT' },
    },
    defaultContentType: contentType,
    channels: Object.fromEntries(
      streams.map((stream) => [
        nameOf(stream),
        {
          address: stream,
          messages: Object.fromEntries(
            eventTypes
              .filter((type) => isOf(type, stream))
              .map((type) => [type, { $ref: `#/components/messages/${type}` }]),
          ),
        },
      ]),
    ),
    operations: {
      ...Object.fromEntries(
        streams.map((stream) => [
          `publish-${nameOf(stream)}`,
          { action: 'send', channel: channelOf(stream), summary: 'The relay publishes every event of this stream.' },
        ]),
      ),
      ...Object.fromEntries(
        readings.map(({ row: { consumer }, stream, types }) => [
          `${consumer}-reads-${nameOf(stream)}`,
          {
            action: 'receive',
            channel: channelOf(stream),
            summary: `Consumer group orderly.${consumer}`,
            messages: types.map((type) => ({ $ref: `#/channels/${nameOf(stream)}/messages/${type}` })),
          },
        ]),
      ),
    },
    components: {
      messages: Object.fromEntries(eventTypes.map((type) => [type, messageOf(type)])),
      schemas: { envelope, ...Object.fromEntries(eventTypes.map((type) => [type, plain(eventSchemas[type])])) },
    },
  };
}

function messageOf(type: EventType): Json {
  const { description } = eventSchemas[type] as { description?: string };
  return {
    name: type,
    title: type,
    summary: description,
    contentType,
    correlationId: { location: '$message.payload#/correlationid' },
    bindings: { kafka: { key: { ...uuid, description: 'The order' } } },
    payload: {
      allOf: [
        { $ref: '#/components/schemas/envelope' },
        { properties: { type: { const: type }, data: { $ref: `#/components/schemas/${type}` } } },
      ],
    },
    examples: [{ name: type, payload: exampleOf(type) }],
  };
}

function exampleOf(type: EventType): Json {
  const [stored] = JSON.parse(readFileSync(new URL(`${type}.json`, fixtures), 'utf8')) as Record<string, string>[];
  if (stored === undefined) throw new Error(`there is no fixture of ${type}`);
  const event = {
    id: stored.id ?? '',
    type,
    subject: stored.subject ?? '',
    version: Number(stored.sequence),
    time: new Date(stored.time ?? ''),
    correlationId: stored.correlationid ?? '',
    causationId: stored.causationid ?? null,
    traceparent: stored.traceparent ?? null,
    data: stored.data as unknown as Json,
  };
  return JSON.parse(toMessage(event, streamOf[type]).body.toString('utf8')) as Json;
}

const isOf = (type: string, stream: string) => streamOf[type as EventType] === stream;
// `orders.events.v1` is `orders`.
const nameOf = (stream: string) => stream.slice(0, stream.indexOf('.'));
const channelOf = (stream: string) => ({ $ref: `#/channels/${nameOf(stream)}` });
