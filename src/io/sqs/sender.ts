// Sends messages to one queue of SQS, in batches within its limits.
//
// Promises: resolves when the queue has all of them, rejects when any may be missing; then all are sent again. Each
// sending is new to a FIFO queue, which else swallows for five minutes what it has seen, lost or not.

import { SendMessageBatchCommand, type SendMessageBatchRequestEntry, type SQSClient } from '@aws-sdk/client-sqs';
import type { Message } from '../../engine/bus.ts';
import type { System } from '../../engine/ports.ts';
import { batchesOf } from '../batches.ts';
import { toText } from './text.ts';

// SQS' limit, and its limit of all bodies and attributes of a call as it was longest. It takes four times that now, not
// everywhere.
const countMax = 10;
const bytesMax = 262_144;
// Name, type and value of the one attribute that a body in base64 has.
const attributeBytesMax = 64;
// Calls under way per queue.
const callsMax = 4;

type Entry = Omit<SendMessageBatchRequestEntry, 'Id'>;

export async function sendAll(
  options: { readonly client: SQSClient; readonly url: string; readonly fifo: boolean; readonly system: System },
  messages: readonly Message[],
  signal: AbortSignal,
): Promise<void> {
  const { client, url, fifo, system } = options;

  function toEntry({ id, key, body }: Message): Entry {
    const { text, encoding } = toText(body);
    const attributes =
      encoding === 'utf8' ? {} : { MessageAttributes: { encoding: { DataType: 'String', StringValue: encoding } } };
    const order = fifo ? { MessageGroupId: toToken(key) ?? id, MessageDeduplicationId: system.newId() } : {};
    return { MessageBody: text, ...attributes, ...order };
  }

  async function send(entries: readonly Entry[]): Promise<void> {
    const Entries = entries.map((entry, index) => ({ Id: String(index), ...entry }));
    const command = new SendMessageBatchCommand({ QueueUrl: url, Entries });
    const { Failed = [], Successful = [] } = await client.send(command, { abortSignal: signal });
    // An entry that is in neither list counts as failed, too.
    const missing = entries.length - Successful.length;
    if (missing === 0) return;
    const { Code, Message: reason = '' } = Failed[0] ?? {};
    throw new Error(`SQS did not take ${missing} of ${entries.length} messages: ${Code} ${reason}`);
  }

  const bytesOf = ({ MessageBody = '' }: Entry) => Buffer.byteLength(MessageBody) + attributeBytesMax;
  const batches = batchesOf(messages.map(toEntry), { countMax, bytesMax, bytesOf }).values();
  await Promise.all(
    Array.from({ length: callsMax }, async () => {
      for (const batch of batches) await send(batch);
    }),
  );
}

// What SQS takes as the name of a group; a message without one is a group of its own.
function toToken(key: string): string | null {
  return /^[!-~]{1,128}$/.test(key) ? key : null;
}
