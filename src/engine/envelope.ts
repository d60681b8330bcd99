// The form in which an event travels: CloudEvents 1.0, structured JSON (content type
// application/cloudevents+json), with correlation and causation as extensions.
//
// Promises: what `toMessage` writes, `readEnvelope` reads; what it cannot read comes back as a reason,
// never as an exception. A reader takes from the envelope which job to look at, and nothing else: everything
// else it reads from the database.

import type { Message } from './bus.ts';
import type { Event, Hint } from './ports.ts';

// The largest message that every supported broker takes with room for its own headers.
export const envelopeBytesMax = 65_536;

export function toMessage(event: Event, stream: string): Message {
  const body = JSON.stringify({
    specversion: '1.0',
    id: event.id,
    source: `/orderly/${stream.slice(0, stream.indexOf('.'))}`,
    type: event.type,
    subject: event.subject,
    time: event.time.toISOString(),
    datacontenttype: 'application/json',
    dataschema: `urn:orderly:schemas/${event.type}.json`,
    // The extension wants lexical order; a version has at most ten digits.
    sequence: String(event.version).padStart(10, '0'),
    correlationid: event.correlationId,
    ...(event.causationId === null ? {} : { causationid: event.causationId }),
    ...(event.traceparent === null ? {} : { traceparent: event.traceparent }),
    data: event.data,
  });
  return { id: event.id, key: event.subject, type: event.type, stream, body: Buffer.from(body) };
}

export type Unreadable = { readonly code: 'unreadable' | 'oversized'; readonly message: string };

const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
// The version of a subject, as the database holds it.
const versionMax = 2_147_483_647;

export function readHint(body: Buffer): Hint | Unreadable {
  if (body.length > envelopeBytesMax) {
    return {
      code: 'oversized',
      message: `the message has ${body.length} bytes, at most ${envelopeBytesMax} are allowed`,
    };
  }
  const value = parse(body);
  if (typeof value !== 'object' || value === null) return unreadable('the message is not a JSON object');
  const { specversion, subject, sequence, type, traceparent } = value as Record<string, unknown>;
  if (specversion !== '1.0') return unreadable('the message is not a CloudEvent of version 1.0');
  if (typeof subject !== 'string' || !uuid.test(subject)) return unreadable('the subject of the message is not a UUID');
  if (typeof type !== 'string' || type === '') return unreadable('the message has no type');
  const version = typeof sequence === 'string' && /^\d{10}$/.test(sequence) ? Number(sequence) : 0;
  if (version < 1 || version > versionMax) return unreadable('the sequence of the message is not a version');
  return { subject, version, type, ...(typeof traceparent === 'string' ? { traceparent } : {}) };
}

export function isUnreadable(read: Hint | Unreadable): read is Unreadable {
  return 'code' in read;
}

function parse(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'));
  } catch {
    return null;
  }
}

function unreadable(message: string): Unreadable {
  return { code: 'unreadable', message };
}

// `OrderCreatedV12` is version 12 of OrderCreated.
export function nameOf(type: string): string {
  return type.replace(/V\d+$/, '');
}
