// The bus on Apache Kafka: a topic per stream or per type, the order's id as key, a consumer group per consumer, so
// that starting another process is all it takes to share its work.
//
// Promises: what the port Bus says. Creating and subscribing never fail for a broker that is away: both keep trying
// and say so once. Topics that are missing are created.

import { Admin } from '@platformatic/kafka';
import type { Bus, Subscription } from '../../engine/bus.ts';
import { createOutage } from '../../engine/outage.ts';
import type { Log, System } from '../../engine/ports.ts';
import { clientOptions, type KafkaSasl } from './client.ts';
import { type GroupTopics, readLag } from './lag.ts';
import { createPublisher } from './publisher.ts';
import { type GroupProtocol, readGroup } from './reader.ts';
import { createTopics, type TopicLayout, topicOf } from './topics.ts';

// What asks here is asked again by its caller.
const adminRetries = 1;
// Between two tries to have all topics.
const ensurePauseMs = 5_000;

export type KafkaSettings = {
  readonly brokers: readonly string[];
  readonly clientId: string;
  readonly layout: TopicLayout;
  // Of topics that are created; more of them let more processes share a group.
  readonly partitions: number;
  // `consumer` is KIP-848, which moves only the partitions that have to move.
  readonly groupProtocol: GroupProtocol;
  // Static membership: a process that comes back under its name gets its partitions back.
  readonly instanceId: string | null;
  readonly tls: boolean;
  readonly sasl: KafkaSasl | null;
  // All types of the product: their topics are created if missing.
  readonly types: readonly string[];
  readonly streamOf: (type: string) => string;
  readonly system: System;
  readonly log: Log;
};

export function createKafkaBus(settings: KafkaSettings): Bus {
  const { layout, partitions, groupProtocol, instanceId, types, streamOf, system, log } = settings;
  const outage = createOutage({
    what: `Kafka at ${settings.brokers.join(',')}`,
    advice: 'events wait in the database. Check KAFKA_BROKERS, the settings for TLS and SASL, and that the brokers run',
    fields: { dependency: 'kafka' },
    log,
    system,
  });
  let opened: Admin | null = null;
  const admin = () => {
    opened ??= new Admin({ ...clientOptions(settings), retries: adminRetries });
    return opened;
  };
  const topicsOf = (read: readonly string[]) => [...new Set(read.map((type) => topicOf(type, streamOf(type), layout)))];
  const topics = createTopics({ admin, names: topicsOf(types), partitions, system });
  const publisher = createPublisher({
    access: settings,
    topics,
    topicOf: (message) => topicOf(message.type, message.stream, layout),
    system,
    outage,
  });
  const readers = new Map<Subscription, GroupTopics>();

  const closing = new AbortController();
  // Whoever only publishes learns at the start, too, that the broker is away.
  async function ensureAll(): Promise<void> {
    while (!closing.signal.aborted) {
      try {
        await topics.ensure();
        return outage.worked('topics');
      } catch (error) {
        if (!closing.signal.aborted) outage.failed('topics', error);
      }
      await system.sleep(ensurePauseMs, closing.signal);
    }
  }
  void ensureAll();

  return {
    publish: publisher.publish,
    subscribe: async (group, read, receive) => {
      const topicNames = topicsOf(read);
      const reader = readGroup({
        ...{ access: settings, group, topicNames, types: read, topics, protocol: groupProtocol, instanceId },
        ...{ receive, system, log, outage },
      });
      const subscription = {
        close: async () => {
          readers.delete(subscription);
          await reader.close();
        },
      };
      readers.set(subscription, { group, topicNames });
      return subscription;
    },
    isAway: outage.isOpen,
    lag: () => readLag(admin(), [...readers.values()], system),
    close: async () => {
      closing.abort();
      await Promise.all([publisher.close(), ...[...readers.keys()].map((reader) => reader.close())]);
      await opened?.close().catch(() => {});
    },
  };
}
