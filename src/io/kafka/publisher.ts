// Publishing to Kafka: a batch at a time, acknowledged by all replicas.
//
// Promises: resolves when the brokers have every message of the batch; rejects, within bounded time, when any may be
// missing. A message's partition follows from its key by the hash that Kafka's own clients use.
// Relies on the relay to publish the same batch again after a failure: a message that comes twice is a hint twice.

import { compatibilityPartitioner, ProduceAcks, Producer } from '@platformatic/kafka';
import type { Bus, Message } from '../../engine/bus.ts';
import type { Outage } from '../../engine/outage.ts';
import type { System } from '../../engine/ports.ts';
import { batchesOf } from '../batches.ts';
import { within } from '../within.ts';
import { clientOptions, type KafkaAccess, refusalOf, typeHeader } from './client.ts';
import type { Topics } from './topics.ts';

// The library puts all messages of a partition into one batch of records, and a broker takes one of at most a
// mebibyte by default: a batch of large events goes in several requests, one after the other.
const requestBytesMax = 768 * 1_024;
// Key, headers and framing of a record.
const overheadBytes = 256;
// Below the lease of the relay, so that it is told what happened rather than cut off.
const publishMs = 4_500;
const retries = 3;
const part = 'publishing';

const contentType = Buffer.from('application/cloudevents+json; charset=UTF-8');

export function createPublisher(options: {
  readonly access: KafkaAccess;
  readonly topics: Topics;
  readonly topicOf: (message: Message) => string;
  readonly system: System;
  readonly outage: Outage;
}): Pick<Bus, 'publish' | 'close'> {
  const { access, topics, topicOf, system, outage } = options;
  let producer: Producer<Buffer, Buffer, Buffer, Buffer> | null = null;
  const closing = new AbortController();

  function open() {
    return new Producer<Buffer, Buffer, Buffer, Buffer>({
      ...clientOptions(access),
      // Without it a retry after a partial failure sends the whole batch again.
      idempotent: true,
      acks: ProduceAcks.ALL,
      retries,
      // The library's own choice differs from that of Kafka's clients for about half of all keys.
      partitioner: compatibilityPartitioner,
    });
  }

  async function publishAll(messages: readonly Message[], signal: AbortSignal): Promise<void> {
    await topics.ensure();
    const limits = {
      countMax: Number.POSITIVE_INFINITY,
      bytesMax: requestBytesMax,
      bytesOf: ({ body }: Message) => body.length + overheadBytes,
    };
    for (const batch of batchesOf(messages, limits)) {
      // Process dies between two: the first is there, and is published again with the rest.
      signal.throwIfAborted();
      closing.signal.throwIfAborted();
      producer ??= open();
      await producer.send({
        messages: batch.map((message) => ({
          topic: topicOf(message),
          key: Buffer.from(message.key),
          value: message.body,
          headers: new Map([
            [Buffer.from('content-type'), contentType],
            [typeHeader, Buffer.from(message.type)],
          ]),
        })),
      });
    }
  }

  return {
    publish: async (messages, signal) => {
      if (messages.length === 0) return;
      const bounds = { what: 'publishing to Kafka', ms: publishMs, signal, system };
      try {
        // The library cannot be canceled: what was given up may still arrive, before or after its repetition.
        await within(bounds, (inner) => publishAll(messages, inner));
        outage.worked(part);
      } catch (error) {
        // What a producer believes of its sequence after a failure is not to be trusted: start with a new one.
        void producer?.close(true).catch(() => {});
        producer = null;
        topics.forget();
        if (!signal.aborted && !closing.signal.aborted && !isRefusedMessage(error)) outage.failed(part, error);
        throw error;
      }
    },
    close: async () => {
      closing.abort(new Error('the bus was closed'));
      await producer?.close(true).catch(() => {});
      outage.left(part);
    },
  };
}

// The broker serves us well; it is the message that it will never take.
function isRefusedMessage(error: unknown): boolean {
  return ['MESSAGE_TOO_LARGE', 'RECORD_LIST_TOO_LARGE', 'INVALID_RECORD'].includes(refusalOf(error) ?? '');
}
