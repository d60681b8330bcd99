// The queues of SQS, one per consumer.
//
// Promises: a queue that is missing is made, where the credentials allow it; where they do not, one sentence says what
// to do. Asked again after a queue was deleted, it is looked up anew.

import { CreateQueueCommand, GetQueueUrlCommand, QueueDoesNotExist, type SQSClient } from '@aws-sdk/client-sqs';

// What is handed over is deleted at once; what a dead or closed reader has received comes again after this.
const visibilityS = 10;
// SQS' default is as long. A hint that is older than a second is worth nothing, but costs nothing either.
const retentionS = 4 * 86_400;

export type SqsQueues = {
  readonly urlOf: (group: string) => Promise<string>;
  // The queue was not there any more: look again, or make it again, when it is asked for next.
  readonly forget: (group: string) => void;
};

export function createSqsQueues(options: {
  readonly client: SQSClient;
  readonly prefix: string;
  readonly fifo: boolean;
}): SqsQueues {
  const { client, prefix, fifo } = options;
  const urls = new Map<string, Promise<string>>();

  async function open(name: string): Promise<string> {
    try {
      return (await client.send(new GetQueueUrlCommand({ QueueName: name }))).QueueUrl ?? '';
    } catch (error) {
      if (isMissing(error)) return create(name);
      throw error;
    }
  }

  async function create(name: string): Promise<string> {
    const attributes = { VisibilityTimeout: String(visibilityS), MessageRetentionPeriod: String(retentionS) };
    // Throughput per order: without it a FIFO queue takes 300 calls a second.
    const kind = fifo
      ? { FifoQueue: 'true', DeduplicationScope: 'messageGroup', FifoThroughputLimit: 'perMessageGroupId' }
      : {};
    try {
      const command = new CreateQueueCommand({ QueueName: name, Attributes: { ...attributes, ...kind } });
      return (await client.send(command)).QueueUrl ?? '';
    } catch (error) {
      if (!/AccessDenied/.test((error as Error).name)) throw error;
      const sentence = `the queue ${name} is missing on SQS and these credentials may not create it: create it, or allow sqs:CreateQueue`;
      throw new Error(sentence, { cause: error });
    }
  }

  return {
    urlOf: (group) => {
      const known = urls.get(group);
      if (known !== undefined) return known;
      const opened = open(nameOf(prefix, group) + (fifo ? '.fifo' : ''));
      urls.set(group, opened);
      opened.catch(() => urls.delete(group));
      return opened;
    },
    forget: (group) => void urls.delete(group),
  };
}

// Letters, digits, hyphen and underscore; `orderly.` is what the prefix already says.
function nameOf(prefix: string, group: string): string {
  return prefix + group.replace(/^orderly\./, '').replaceAll(/[^\w-]/g, '-');
}

export function isMissing(error: unknown): boolean {
  return error instanceof QueueDoesNotExist || /NonExistentQueue|QueueDoesNotExist/.test((error as Error).name);
}
