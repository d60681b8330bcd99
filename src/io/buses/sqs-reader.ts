// Reads one queue of SQS by several long polls.
//
// Promises: what `receive` took is deleted; what it refused comes again after a pause that grows with each
// receipt; what is held is kept invisible, up to SQS' own limit. A FIFO queue's messages of one order are
// handed over together, in their order, and share their fate; those of a standard queue go each alone.
// At most `pollsMax` times ten messages are in this process.
// Process dies: what it held becomes visible again after the visibility timeout.

import { type Message, ReceiveMessageCommand, type SQSClient } from '@aws-sdk/client-sqs';
import type { Log, Received, Subscription, System } from '../../engine/ports.ts';
import type { Outage } from './outage.ts';
import { createHold } from './sqs-hold.ts';
import { isMissing, type SqsQueues } from './sqs-queues.ts';
import { toBody } from './text.ts';
import { within } from './within.ts';

// Long polls under way: one waits, the others keep up while batches are being claimed.
const pollsMax = 4;
const batchMax = 10;
// SQS' maximum: an idle reader makes three calls a minute per poll.
const waitS = 20;
// An answer that comes later than this does not come: the connection fell silent.
const pollTimeoutMs = (waitS + 5) * 1_000;
// What SQS is just handing out arrives within this; a poll that waits longer has nothing and is cut off.
const farewellMs = 200;
const retryPauseMsMin = 100;
const retryPauseMsMax = 5_000;

export function readSqs(options: {
  readonly client: SQSClient;
  readonly queues: SqsQueues;
  readonly group: string;
  readonly receive: (batch: readonly Received[]) => Promise<void>;
  readonly outage: Outage;
  readonly system: System;
  readonly log: Log;
}): Subscription {
  const { client, queues, group, receive, outage, system, log } = options;
  const closing = new AbortController();
  const { signal } = closing;
  const cutting = new AbortController();
  const hold = createHold({ client, urlOf: () => queues.urlOf(group), group, outage, system, log });

  async function poll(way: string): Promise<void> {
    let failures = 0;
    while (!signal.aborted) {
      try {
        const messages = await next();
        outage.worked(way);
        failures = 0;
        await handOver(messages);
      } catch (error) {
        if (signal.aborted) break;
        if (isMissing(error)) queues.forget(group);
        else outage.failed(way, error);
        failures += 1;
        const pauseMs = Math.min(retryPauseMsMax, retryPauseMsMin * 2 ** Math.min(failures, 10));
        await system.sleep(pauseMs * (0.5 + system.random() / 2), signal);
      }
    }
    outage.left(way);
  }

  async function next(): Promise<Message[]> {
    const finding = { what: 'finding the queue', ms: pollTimeoutMs, signal: cutting.signal, system };
    const command = new ReceiveMessageCommand({
      QueueUrl: await within(finding, () => queues.urlOf(group)),
      MaxNumberOfMessages: batchMax,
      WaitTimeSeconds: waitS,
      MessageAttributeNames: ['encoding'],
      MessageSystemAttributeNames: ['ApproximateReceiveCount', 'MessageGroupId'],
    });
    // What a cut answer would have brought is invisible until its timeout, then comes again.
    const options = { abortSignal: cutting.signal, requestTimeout: pollTimeoutMs };
    return (await client.send(command, options)).Messages ?? [];
  }

  async function handOver(messages: readonly Message[]): Promise<void> {
    const groups = Map.groupBy(messages, (one) => one.Attributes?.MessageGroupId ?? one);
    await Promise.all([...groups.values()].map(handOverOne));
  }

  // Never rejects.
  async function handOverOne(messages: readonly Message[]): Promise<void> {
    const held = messages.map(hold.take);
    if (signal.aborted) {
      for (const one of held) one.giveBack(0);
      return;
    }
    try {
      await receive(messages.map(toReceived));
      for (const one of held) one.done();
    } catch (error) {
      if (!signal.aborted) log.debug({ group, error: String(error) }, 'messages were not taken; they come again');
      const receipts = Math.max(...messages.map((one) => Number(one.Attributes?.ApproximateReceiveCount ?? 1)));
      for (const one of held) one.giveBack(signal.aborted ? 0 : Math.min(60, 2 ** (receipts - 1)));
    }
  }

  const polling = Promise.all(Array.from({ length: pollsMax }, (_, index) => poll(`${group} ${index}`)));
  return {
    close: async () => {
      closing.abort();
      const timer = system.after(farewellMs, () => cutting.abort());
      await polling;
      timer.cancel();
      await hold.close();
    },
  };
}

function toReceived(message: Message): Received {
  const encoding = message.MessageAttributes?.encoding?.StringValue === 'base64' ? 'base64' : 'utf8';
  return { body: toBody({ text: message.Body ?? '', encoding }) };
}
