// The bus on SQS: one queue per consumer, FIFO with the order as group, or standard.
//
// Promises: `publish` resolves when the queue of every consumer of every message has it; a message is deleted when it
// was handed over.
// Relies on the credentials that AWS' own rules find; a plain http endpoint is an emulator and gets any.

import { GetQueueAttributesCommand, SQSClient } from '@aws-sdk/client-sqs';
import type { Bus, ReaderGroup, Subscription } from '../../engine/bus.ts';
import { createOutage } from '../../engine/outage.ts';
import type { Log, System } from '../../engine/ports.ts';
import { within } from '../within.ts';
import { createSqsQueues, isMissing } from './queues.ts';
import { readSqs } from './reader.ts';
import { sendAll } from './sender.ts';

// Well above what a full batch takes; then the relay tries again by its own backoff.
const publishTimeoutMs = 10_000;
const lagTimeoutMs = 5_000;
const connectTimeoutMs = 2_000;
// A connection that fell silent never ends by itself; a long poll gets its wait on top.
const answerTimeoutMs = 5_000;
// Long polls hold their sockets: four per reader, and what is sent and deleted meanwhile.
const socketsMax = 128;
const attemptsMax = 2;

export function createSqsBus(options: {
  readonly endpoint: string | null;
  readonly region: string;
  readonly prefix: string;
  readonly fifo: boolean;
  readonly readers: readonly ReaderGroup[];
  readonly system: System;
  readonly log: Log;
}): Bus {
  const { endpoint, region, prefix, fifo, readers, system, log } = options;
  const isEmulator = endpoint?.startsWith('http://') ?? false;
  const client = new SQSClient({
    region,
    maxAttempts: attemptsMax,
    requestHandler: {
      connectionTimeout: connectTimeoutMs,
      requestTimeout: answerTimeoutMs,
      throwOnRequestTimeout: true,
      httpAgent: { keepAlive: true, maxSockets: socketsMax },
      httpsAgent: { keepAlive: true, maxSockets: socketsMax },
    },
    ...(endpoint === null ? {} : { endpoint }),
    ...(isEmulator ? { credentials: { accessKeyId: 'emulator', secretAccessKey: 'emulator' } } : {}),
  });
  const queues = createSqsQueues({ client, prefix, fifo });
  const outage = createOutage({
    what: `SQS at ${endpoint === null ? region : new URL(endpoint).host}`,
    advice: 'events wait in the database. Check AWS_ENDPOINT_URL_SQS, AWS_REGION and the credentials',
    fields: { dependency: 'sqs' },
    log,
    system,
  });
  const subscriptions = new Set<Subscription>();
  const closing = new AbortController();

  async function send(group: string, messages: Parameters<typeof sendAll>[1], signal: AbortSignal): Promise<void> {
    if (messages.length === 0) return;
    try {
      await sendAll({ client, url: await queues.urlOf(group), fifo, system }, messages, signal);
    } catch (error) {
      if (isMissing(error)) queues.forget(group);
      throw error;
    }
  }

  return {
    publish: async (messages, signal) => {
      const bounds = { what: 'publishing to SQS', ms: publishTimeoutMs, signal, system };
      const sent = within(bounds, (inner) =>
        Promise.all(
          readers.map(({ group, types }) =>
            send(
              group,
              messages.filter((message) => types.includes(message.type)),
              inner,
            ),
          ),
        ),
      );
      await sent.catch((error) => {
        if (!signal.aborted) outage.failed('publishing', error);
        throw error;
      });
      outage.worked('publishing');
    },
    subscribe: async (group, _types, receive) => {
      const subscription = readSqs({ client, queues, group, receive, outage, system });
      subscriptions.add(subscription);
      return subscription;
    },
    isAway: outage.isOpen,
    lag: () =>
      within({ what: 'reading the lag', ms: lagTimeoutMs, signal: closing.signal, system }, async (signal) => {
        const counted = readers.map(async ({ group }) => {
          const command = new GetQueueAttributesCommand({
            QueueUrl: await queues.urlOf(group),
            AttributeNames: [...counts],
          });
          const { Attributes = {} } = await client.send(command, { abortSignal: signal });
          return [group, counts.reduce((sum, name) => sum + Number(Attributes[name] ?? 0), 0)] as const;
        });
        return new Map(await Promise.all(counted));
      }),
    close: async () => {
      closing.abort(new Error('the bus was closed'));
      await Promise.all([...subscriptions].map((one) => one.close()));
      client.destroy();
    },
  };
}

const counts = [
  'ApproximateNumberOfMessages',
  'ApproximateNumberOfMessagesNotVisible',
  'ApproximateNumberOfMessagesDelayed',
] as const;
