// What lies on the topics, read by a stranger: every record from the first offset to the last, as a console
// consumer would read it.
//
// Promises: of each partition the records in the order of their offsets, and all that were there when
// reading began. Relies on nothing of the product but the names of its topics.

import { Admin, Consumer, ListOffsetTimestamps, MessagesStreamModes } from '@platformatic/kafka';

export type FoundEvent = {
  readonly topic: string;
  readonly key: string;
  readonly id: string;
  readonly subject: string;
  readonly sequence: string;
};

export const orderTopics = ['orders.events.v1', 'payments.events.v1', 'fulfillment.events.v1'];

export async function readTopics(brokers: string, group: string): Promise<readonly FoundEvent[]> {
  const bootstrapBrokers = brokers.split(',');
  const admin = new Admin({ clientId: group, bootstrapBrokers });
  const consumer = new Consumer({ clientId: group, groupId: group, bootstrapBrokers, groupProtocol: 'consumer' });
  try {
    const missing = await recordsOf(admin);
    const found: FoundEvent[] = [];
    const stream = await consumer.consume({
      topics: orderTopics,
      mode: MessagesStreamModes.EARLIEST,
      autocommit: false,
    });
    for await (const { topic, partition, offset, key, value } of stream) {
      const { id, subject, sequence } = JSON.parse(value.toString()) as FoundEvent;
      found.push({ topic, key: key?.toString() ?? '', id, subject, sequence });
      const place = `${topic}:${partition}`;
      if (offset + 1n >= (missing.get(place) ?? 0n)) missing.delete(place);
      if (missing.size === 0) break;
    }
    return found;
  } finally {
    await consumer.close(true);
    await admin.close();
  }
}

// By partition: the offset behind its last record; without those that hold nothing.
async function recordsOf(admin: Admin): Promise<Map<string, bigint>> {
  const metadata = await admin.metadata({ topics: orderTopics });
  const topics = orderTopics.map((name) => ({
    name,
    partitions: [...Array(metadata.topics.get(name)?.partitionsCount ?? 0).keys()].map((partitionIndex) => ({
      partitionIndex,
      timestamp: ListOffsetTimestamps.LATEST,
    })),
  }));
  const ends = new Map<string, bigint>();
  for (const { name, partitions } of await admin.listOffsets({ topics })) {
    for (const { partitionIndex, offset } of partitions) if (offset > 0n) ends.set(`${name}:${partitionIndex}`, offset);
  }
  return ends;
}
