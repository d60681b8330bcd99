// The bus on Apache Kafka: a topic per stream or per type, the order's id as key, a consumer group per
// reader, so that starting another process is all it takes to share its work.
//
// Promises: what the port Bus says. Order per key, durable, redelivered; creating and subscribing never
// fail for a broker that is away: both keep trying and say so once. Topics that are missing are created.
// Process dies: what was not committed is read again by whoever gets its partitions.

import { Admin } from '@platformatic/kafka';
import type { Bus, Log, Subscription, System } from '../../engine/ports.ts';
import { clientOptions, type KafkaSasl } from './kafka-client.ts';
import { readLag } from './kafka-lag.ts';
import { createMember, type GroupProtocol } from './kafka-member.ts';
import { createPublisher } from './kafka-publish.ts';
import { createTopics, type TopicLayout, topicOf } from './kafka-topics.ts';
import { createOutage } from './outage.ts';

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

export function createKafkaBus(settings: KafkaSettings): Bus & Required<Pick<Bus, 'lag'>> {
  const { layout, partitions, groupProtocol, instanceId, types, streamOf, system, log } = settings;
  const outage = createOutage({
    server: 'Kafka',
    address: settings.brokers.join(','),
    advice: 'Check KAFKA_BROKERS, the settings for TLS and SASL, and that the brokers run',
    log,
  });
  let opened: Admin | null = null;
  const admin = () => {
    opened ??= new Admin({ ...clientOptions(settings), retries: adminRetries });
    return opened;
  };
  const topics = createTopics({ admin, partitions, system });
  const publisher = createPublisher({
    access: settings,
    topics,
    topicOf: (message) => topicOf(message.type, message.stream, layout),
    system,
    outage,
  });
  const topicsOf = (read: readonly string[]) => [...new Set(read.map((type) => topicOf(type, streamOf(type), layout)))];
  const members = new Map<Subscription, { readonly group: string; readonly topicNames: readonly string[] }>();

  const closing = new AbortController();
  // Foreign readers want all topics, also those that none of our own has reason to open yet.
  async function ensureAll(): Promise<void> {
    while (!closing.signal.aborted) {
      try {
        await topics.ensure(topicsOf(types), closing.signal);
        return outage.worked('topics');
      } catch (error) {
        if (!closing.signal.aborted) outage.failed('topics', error);
      }
      await system.sleep(ensurePauseMs, closing.signal);
    }
  }
  void ensureAll();

  return {
    capabilities: { ordered: true, durable: true, redelivers: true },
    publish: publisher.publish,
    subscribe: async (group, read, receive) => {
      const topicNames = topicsOf(read);
      const member = createMember({
        ...{ access: settings, group, topicNames, types: read, topics, protocol: groupProtocol, instanceId },
        ...{ receive, system, log, outage },
      });
      const subscription = {
        close: async () => {
          members.delete(subscription);
          await member.close();
        },
      };
      members.set(subscription, { group, topicNames });
      return subscription;
    },
    lag: () => readLag(admin(), [...members.values()], system),
    close: async () => {
      closing.abort();
      await Promise.all([publisher.close(), ...[...members.keys()].map((member) => member.close())]);
      await opened?.close().catch(() => {});
    },
  };
}
