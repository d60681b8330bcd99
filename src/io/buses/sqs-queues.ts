// The queues of SQS: one per reader, and beside it one for what could not be handed over.
//
// Promises: a queue that is missing is made, where the credentials allow it; where they do not, or where a
// queue is of the wrong kind, one sentence says what to do. Asked again after a queue was deleted, it is
// looked up anew. The second queue is for failures of infrastructure alone: nobody reads it, orders that
// fail become dead letters of the database.

import {
  CreateQueueCommand,
  GetQueueAttributesCommand,
  GetQueueUrlCommand,
  QueueDoesNotExist,
  type SQSClient,
} from '@aws-sdk/client-sqs';

// A message that is handed over is invisible for this long; the reader extends it while it holds it. A dead
// reader's messages come again after it.
export const visibilityS = 30;
// SQS' own limit, counted from the first receipt. Emulators do not check it.
export const heldMsMax = 12 * 3_600_000;
// Before a message goes aside: with pauses of up to a minute, several minutes of a database that is away.
const receivesMax = 10;
// Longer than any outage that the database's pull would not have bridged; SQS' maximum for what went aside.
const retentionS = 4 * 86_400;
const asideRetentionS = 14 * 86_400;

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
  const suffix = fifo ? '.fifo' : '';
  const urls = new Map<string, Promise<string>>();

  async function open(group: string): Promise<string> {
    const name = nameOf(prefix, group);
    const found = await find(name + suffix);
    if (found !== null) {
      await check(found, name + suffix);
      return found;
    }
    // Process dies in between: the next one finds the first queue and makes the second.
    const asideName = `${name}-redrive${suffix}`;
    const aside =
      (await find(asideName)) ?? (await create(asideName, { MessageRetentionPeriod: String(asideRetentionS) }));
    const deadLetterTargetArn = (await attributesOf(aside)).QueueArn;
    return create(name + suffix, {
      VisibilityTimeout: String(visibilityS),
      MessageRetentionPeriod: String(retentionS),
      RedrivePolicy: JSON.stringify({ deadLetterTargetArn, maxReceiveCount: receivesMax }),
    });
  }

  async function find(name: string): Promise<string | null> {
    try {
      const { QueueUrl } = await client.send(new GetQueueUrlCommand({ QueueName: name }));
      return QueueUrl ?? null;
    } catch (error) {
      if (isMissing(error)) return null;
      throw error;
    }
  }

  async function create(name: string, attributes: Record<string, string>): Promise<string> {
    // Deduplication and throughput per order: without it a FIFO queue takes 300 calls a second.
    const kind = fifo
      ? { FifoQueue: 'true', DeduplicationScope: 'messageGroup', FifoThroughputLimit: 'perMessageGroupId' }
      : {};
    try {
      const command = new CreateQueueCommand({ QueueName: name, Attributes: { ...attributes, ...kind } });
      const { QueueUrl } = await client.send(command);
      return QueueUrl ?? '';
    } catch (error) {
      if (!/AccessDenied/.test((error as Error).name)) throw error;
      const sentence = `the queue ${name} is missing on SQS and these credentials may not create it: create it, or allow sqs:CreateQueue`;
      throw new Error(sentence, { cause: error });
    }
  }

  async function attributesOf(url: string): Promise<Record<string, string>> {
    const command = new GetQueueAttributesCommand({ QueueUrl: url, AttributeNames: ['All'] });
    return (await client.send(command)).Attributes ?? {};
  }

  // AWS refuses these at creation; emulators, and hands, make them all the same.
  async function check(url: string, name: string): Promise<void> {
    const { RedrivePolicy } = await attributesOf(url);
    const target: unknown = RedrivePolicy === undefined ? undefined : JSON.parse(RedrivePolicy).deadLetterTargetArn;
    if (target === undefined) return;
    if (String(target).endsWith('.fifo') === fifo) return;
    const kind = fifo ? 'a FIFO' : 'a standard';
    throw new Error(`the queue ${name} on SQS moves what fails to ${target}, which is not ${kind} queue as it must be`);
  }

  return {
    urlOf: (group) => {
      const known = urls.get(group);
      if (known !== undefined) return known;
      const opened = open(group);
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
