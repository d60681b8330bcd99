// Sends messages to one queue of SQS, in batches within its limits.
//
// Promises: resolves when the queue has all of them, rejects when any may be missing; what a batch reports
// as failed is sent again a few times first. In a FIFO queue the messages of one order stay in the order of
// the call, also when a part of a batch fails: no batch holds two of them, and their batches go one
// after the other.
// Trap: a FIFO queue swallows an id that it has seen within five minutes, even if that message is gone by
// then. A fact that is published anew may thus not come again; its reader pulls it from the database.

import { SendMessageBatchCommand, type SendMessageBatchRequestEntry, type SQSClient } from '@aws-sdk/client-sqs';
import type { Message, System } from '../../engine/ports.ts';
import { toText } from './text.ts';

// SQS' limit, and its limit of all bodies and attributes of a call as it was longest. It takes four times
// that now, not everywhere.
const batchMax = 10;
const batchBytesMax = 262_144;
// Name, type and value of the one attribute that a body in base64 has.
const attributeBytesMax = 64;
// Calls under way per queue.
const waysMax = 4;
const triesMax = 4;
const retryPauseMs = 100;

type Entry = { readonly key: string; readonly bytes: number; readonly send: Omit<SendMessageBatchRequestEntry, 'Id'> };

export async function sendAll(
  options: { readonly client: SQSClient; readonly url: string; readonly fifo: boolean; readonly system: System },
  messages: readonly Message[],
  signal: AbortSignal,
): Promise<void> {
  const { client, url, fifo, system } = options;

  async function sendBatch(entries: readonly Entry[]): Promise<void> {
    let owed = entries;
    for (let tries = 1; ; tries += 1) {
      const command = new SendMessageBatchCommand({
        QueueUrl: url,
        Entries: owed.map(({ send }, index) => ({ Id: String(index), ...send })),
      });
      const { Failed = [], Successful = [] } = await client.send(command, { abortSignal: signal });
      if (Successful.length === owed.length) return;
      const fault = Failed.find((failure) => failure.SenderFault);
      if (fault !== undefined || tries === triesMax) {
        const { Code, Message } = fault ?? Failed[0] ?? {};
        throw new Error(
          `SQS did not take ${owed.length - Successful.length} of ${owed.length} messages: ${Code} ${Message ?? ''}`,
        );
      }
      // An entry that is in neither list counts as failed too.
      const taken = new Set(Successful.map(({ Id }) => Number(Id)));
      owed = owed.filter((_, index) => !taken.has(index));
      await system.sleep(retryPauseMs * tries, signal);
      signal.throwIfAborted();
    }
  }

  const ways = toWays(
    messages.map((message) => toEntry(message, fifo)),
    fifo,
  );
  await Promise.all(
    ways.map(async (entries) => {
      for (const batch of toBatches(entries, fifo)) await sendBatch(batch);
    }),
  );
}

function toEntry(message: Message, fifo: boolean): Entry {
  const { text, encoding } = toText(message.body);
  const attributes =
    encoding === 'utf8' ? {} : { MessageAttributes: { encoding: { DataType: 'String', StringValue: encoding } } };
  const order = fifo ? { MessageGroupId: toToken(message.key) ?? message.id, MessageDeduplicationId: message.id } : {};
  return {
    key: message.key,
    bytes: Buffer.byteLength(text) + attributeBytesMax,
    send: { MessageBody: text, ...attributes, ...order },
  };
}

// What SQS takes as the name of a group; a message without one is a group of its own.
function toToken(key: string): string | null {
  return /^[!-~]{1,128}$/.test(key) ? key : null;
}

// The messages of one key go one way.
function toWays(entries: readonly Entry[], fifo: boolean): Entry[][] {
  const count = Math.min(waysMax, Math.ceil(entries.length / batchMax));
  const ways: Entry[][] = Array.from({ length: count }, () => []);
  const wayOf = new Map<string, Entry[]>();
  let next = 0;
  for (const entry of entries) {
    const way = (fifo ? wayOf.get(entry.key) : undefined) ?? ways[next++ % count];
    if (fifo && way) wayOf.set(entry.key, way);
    way?.push(entry);
  }
  return ways;
}

function toBatches(entries: readonly Entry[], fifo: boolean): Entry[][] {
  const batches: Entry[][] = [];
  let batch: Entry[] = [];
  let bytes = 0;
  let keys = new Set<string>();
  for (const entry of entries) {
    const isFull = batch.length === batchMax || bytes + entry.bytes > batchBytesMax || (fifo && keys.has(entry.key));
    if (isFull && batch.length > 0) {
      batches.push(batch);
      batch = [];
      bytes = 0;
      keys = new Set();
    }
    batch.push(entry);
    bytes += entry.bytes;
    keys.add(entry.key);
  }
  if (batch.length > 0) batches.push(batch);
  return batches;
}
