// The bus of a test with processes: which settings lead to it, and how to make it forget everything.
//
// Promises: `settings` are for a bus that holds nothing of other tests; `wipe` removes topics and groups,
// keys or queues while whoever uses them works on.

import { randomBytes } from 'node:crypto';
import { DeleteQueueCommand, ListQueuesCommand, PurgeQueueCommand, SQSClient } from '@aws-sdk/client-sqs';
import { Admin } from '@platformatic/kafka';
import { Redis } from 'ioredis';
import type { Settings } from '../support/process.ts';
import { settingsFor } from '../support/services.ts';

export const busKinds = ['kafka', 'redis', 'sqs'] as const;
export type BusKind = (typeof busKinds)[number];

export type BusServer = {
  readonly settings: Settings;
  readonly wipe: () => Promise<void>;
  readonly close: () => Promise<void>;
};

// Ours alone: the suites of the adapters use others.
const redisDatabase = 7;

export async function openBusServer(kind: BusKind): Promise<BusServer> {
  const addresses = await settingsFor(kind);
  const opened = { kafka: openKafka, redis: openRedis, sqs: openSqs }[kind](addresses);
  await opened.wipe();
  return { ...opened, settings: { ...addresses, ...opened.settings, BUS: kind } };
}

type Addresses = Readonly<Record<string, string>>;

function openKafka({ KAFKA_BROKERS = '' }: Addresses): BusServer {
  const admin = new Admin({ clientId: 'orderly-tests', bootstrapBrokers: KAFKA_BROKERS.split(',') });
  return {
    settings: {},
    wipe: async () => {
      const topics = (await admin.listTopics()).filter((name) => /^(orders|payments|fulfillment)\./.test(name));
      if (topics.length > 0) await admin.deleteTopics({ topics });
    },
    close: () => admin.close(),
  };
}

function openRedis({ REDIS_URL = '' }: Addresses): BusServer {
  const url = new URL(REDIS_URL);
  url.pathname = `/${redisDatabase}`;
  const client = new Redis(url.href);
  // Its server may be stopped by a test.
  client.on('error', () => undefined);
  return {
    settings: { REDIS_URL: url.href },
    wipe: async () => void (await client.flushdb()),
    close: async () => client.disconnect(),
  };
}

function openSqs({ AWS_ENDPOINT_URL_SQS = '', AWS_REGION = 'us-east-1' }: Addresses): BusServer {
  const prefix = `orderly-${randomBytes(3).toString('hex')}-`;
  const credentials = { accessKeyId: 'orderly', secretAccessKey: 'orderly' };
  const client = new SQSClient({ endpoint: AWS_ENDPOINT_URL_SQS, region: AWS_REGION, credentials });
  const queues = async () => (await client.send(new ListQueuesCommand({ QueueNamePrefix: prefix }))).QueueUrls ?? [];
  return {
    settings: { SQS_QUEUE_PREFIX: prefix },
    wipe: async () => {
      for (const QueueUrl of await queues()) await client.send(new PurgeQueueCommand({ QueueUrl }));
    },
    close: async () => {
      for (const QueueUrl of await queues()) await client.send(new DeleteQueueCommand({ QueueUrl }));
      client.destroy();
    },
  };
}
