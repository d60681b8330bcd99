// Reads one queue of SQS by several long polls.
//
// Promises: what was handed over is deleted, in one call; what could not be deleted comes again, and so does what was
// received and not handed over, after the visibility timeout. Each poll has at most ten messages in this process.

import { DeleteMessageBatchCommand, type Message, ReceiveMessageCommand, type SQSClient } from '@aws-sdk/client-sqs';
import type { Bus, Received, Subscription } from '../../engine/bus.ts';
import type { Outage } from '../../engine/outage.ts';
import type { System } from '../../engine/ports.ts';
import { within } from '../within.ts';
import { isMissing, type SqsQueues } from './queues.ts';
import { toBody } from './text.ts';

// Long polls under way: one waits, the others keep up while messages are being deleted.
const pollsMax = 4;
const batchMax = 10;
// SQS' maximum: an idle reader makes three calls a minute per poll.
const waitS = 20;
// An answer that comes later than this does not come: the connection fell silent.
const pollTimeoutMs = (waitS + 5) * 1_000;
const retryPauseMsMin = 100;
const retryPauseMsMax = 5_000;

export function readSqs(options: {
  readonly client: SQSClient;
  readonly queues: SqsQueues;
  readonly group: string;
  readonly receive: Parameters<Bus['subscribe']>[2];
  readonly outage: Outage;
  readonly system: System;
}): Subscription {
  const { client, queues, group, receive, outage, system } = options;
  const closing = new AbortController();
  const { signal } = closing;

  async function poll(way: string): Promise<void> {
    let failures = 0;
    while (!signal.aborted) {
      try {
        await readOnce();
        outage.worked(way);
        failures = 0;
      } catch (error) {
        if (signal.aborted) break;
        if (isMissing(error)) queues.forget(group);
        // A right that is missing, to delete for example, is told as well: a person must hear of it.
        else outage.failed(way, error);
        failures += 1;
        const pauseMs = Math.min(retryPauseMsMax, retryPauseMsMin * 2 ** Math.min(failures, 10));
        await system.sleep(pauseMs * (0.5 + system.random() / 2), signal);
      }
    }
    outage.left(way);
  }

  async function readOnce(): Promise<void> {
    const finding = { what: 'finding the queue', ms: pollTimeoutMs, signal, system };
    const QueueUrl = await within(finding, () => queues.urlOf(group));
    const asking = new ReceiveMessageCommand({
      QueueUrl,
      MaxNumberOfMessages: batchMax,
      WaitTimeSeconds: waitS,
      MessageAttributeNames: ['encoding'],
    });
    const { Messages = [] } = await client.send(asking, { abortSignal: signal, requestTimeout: pollTimeoutMs });
    if (Messages.length === 0 || signal.aborted) return;
    receive(Messages.map((message) => toReceived(message, QueueUrl)));
    // Process dies here: they come again, as hints of work that is done.
    const Entries = Messages.map(({ ReceiptHandle }, index) => ({ Id: String(index), ReceiptHandle }));
    await client.send(new DeleteMessageBatchCommand({ QueueUrl, Entries }), { abortSignal: signal });
  }

  const polling = Promise.all(Array.from({ length: pollsMax }, (_, index) => poll(`${group} ${index}`)));
  return {
    close: async () => {
      closing.abort(new Error('the subscription was closed'));
      await polling;
    },
  };
}

function toReceived({ Body = '', MessageId, MessageAttributes }: Message, queueUrl: string): Received {
  const encoding = MessageAttributes?.encoding?.StringValue === 'base64' ? 'base64' : 'utf8';
  const queue = queueUrl.slice(queueUrl.lastIndexOf('/') + 1);
  return { body: toBody({ text: Body, encoding }), at: `queue ${queue}, message ${MessageId}` };
}
