// Publishing to Kafka: a batch at a time, acknowledged by all replicas.
//
// Promises: resolves when the brokers have every message of the batch; rejects, within bounded time, when
// any may be missing. A message's partition follows from its key by the hash that Kafka's own clients use.
// Relies on the relay to publish the same batch again after a failure: what is twice then, readers dedupe.

import { compatibilityPartitioner, ProduceAcks, Producer } from '@platformatic/kafka';
import type { Message, System } from '../../engine/ports.ts';
import { bounded } from './bounded.ts';
import { clientOptions, type KafkaAccess, refusalOf } from './kafka-client.ts';
import type { Topics } from './kafka-topics.ts';
import type { Outage } from './outage.ts';

// The library puts all messages of a partition into one batch of records, and a broker takes one of at
// most a mebibyte by default: a batch of large facts goes in several requests, one after the other.
const requestBytesMax = 768 * 1_024;
// Key, headers and framing of a record.
const overheadBytes = 256;
// Below the relay's lease on its lanes, so that it is told what happened rather than cut off.
const publishMs = 4_500;
const retries = 3;
const part = 'publishing';

const contentType = Buffer.from('application/cloudevents+json; charset=UTF-8');

export type Publisher = {
  readonly publish: (messages: readonly Message[], signal: AbortSignal) => Promise<void>;
  readonly close: () => Promise<void>;
};

export function createPublisher(options: {
  readonly access: KafkaAccess;
  readonly topics: Topics;
  readonly topicOf: (message: Message) => string;
  readonly system: System;
  readonly outage: Outage;
}): Publisher {
  const { access, topics, topicOf, system, outage } = options;
  let producer: Producer<string, Buffer, string, Buffer> | null = null;
  const underWay = new Set<AbortController>();
  let isClosed = false;

  function open() {
    return new Producer<string, Buffer, string, Buffer>({
      ...clientOptions(access),
      // Without it a retry after a partial failure sends the whole batch again, and keeps no order.
      idempotent: true,
      acks: ProduceAcks.ALL,
      retries,
      // The library's own choice differs from that of Kafka's clients for about half of all keys.
      partitioner: (message, key) => (key === undefined ? spread() : compatibilityPartitioner(message, key)),
      serializers: {
        key: (key) => (key === undefined ? undefined : Buffer.from(key)),
        value: (value) => value,
        headerKey: (key) => (key === undefined ? undefined : Buffer.from(key)),
        headerValue: (value) => value,
      },
    });
  }

  // Without a key no order is asked for: by turns. The library takes the rest of the division.
  let turn = 0;
  const spread = () => {
    turn = (turn + 1) % 1_000_000;
    return turn;
  };

  async function send(messages: readonly Message[]): Promise<void> {
    producer ??= open();
    await producer.send({
      messages: messages.map((message) => ({
        topic: topicOf(message),
        ...(message.key === '' ? {} : { key: message.key }),
        value: message.body,
        // The body is the truth; readers of a stream may leave what they do not read by its type.
        headers: { 'content-type': contentType, ce_type: Buffer.from(message.type) },
      })),
    });
  }

  async function publishAll(messages: readonly Message[], signal: AbortSignal): Promise<void> {
    const names = [...new Set(messages.map(topicOf))];
    await topics.ensure(names, signal);
    for (const chunk of chunksOf(messages)) {
      // Process dies between two: the first is there, the rest stays owed with it.
      signal.throwIfAborted();
      await send(chunk);
    }
  }

  return {
    publish: async (messages, signal) => {
      if (messages.length === 0) return;
      const stop = new AbortController();
      const cancel = () => stop.abort(signal.reason);
      if (signal.aborted || isClosed) throw new Error('publishing to Kafka was canceled', { cause: signal.reason });
      signal.addEventListener('abort', cancel, { once: true });
      underWay.add(stop);
      try {
        // The library cannot be canceled: what was given up may still arrive, before or after its repetition.
        const limits = { ms: publishMs, what: 'publishing to Kafka', system, signal: stop.signal };
        await bounded(publishAll(messages, stop.signal), limits);
        outage.worked(part);
      } catch (error) {
        // What a producer believes of its sequence after a failure is not to be trusted: start with a new one.
        void producer?.close(true).catch(() => {});
        producer = null;
        topics.forget();
        if (!stop.signal.aborted && !isRefusedMessage(error)) outage.failed(part, error);
        throw error;
      } finally {
        // A later request of what was given up must not follow.
        stop.abort();
        underWay.delete(stop);
        signal.removeEventListener('abort', cancel);
      }
    },
    close: async () => {
      isClosed = true;
      for (const stop of underWay) stop.abort(new Error('the bus is closing'));
      await producer?.close(true).catch(() => {});
      producer = null;
      outage.left(part);
    },
  };
}

// The broker serves us well; it is the message that it will never take.
function isRefusedMessage(error: unknown): boolean {
  return ['MESSAGE_TOO_LARGE', 'RECORD_LIST_TOO_LARGE', 'INVALID_RECORD'].includes(refusalOf(error) ?? '');
}

function chunksOf(messages: readonly Message[]): Message[][] {
  const chunks: Message[][] = [];
  let bytes = Number.POSITIVE_INFINITY;
  for (const message of messages) {
    const size = message.body.length + overheadBytes;
    bytes += size;
    if (bytes > requestBytesMax) {
      chunks.push([]);
      bytes = size;
    }
    chunks.at(-1)?.push(message);
  }
  return chunks;
}
