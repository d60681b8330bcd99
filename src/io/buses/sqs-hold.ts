// The messages of SQS that this process holds: kept invisible, then deleted or given back, in batches.
//
// Promises: nobody waits for these calls but `close`, and that not for long; a call that leaves when others
// are under way takes along what has come meanwhile. Each may fail: the message comes again, and is known.
// A delete with an outdated handle deletes nothing, or is refused; both are harmless, for somebody else
// holds the message by then.

import {
  ChangeMessageVisibilityBatchCommand,
  DeleteMessageBatchCommand,
  type Message,
  type SQSClient,
} from '@aws-sdk/client-sqs';
import type { Log, System } from '../../engine/ports.ts';
import type { Outage } from './outage.ts';
import { heldMsMax, isMissing, visibilityS } from './sqs-queues.ts';
import { within } from './within.ts';

const batchMax = 10;
const callsMax = 4;
const callTimeoutMs = 5_000;
// A third of the timeout: two extensions may fail before the message is seen by another reader.
const extendEveryMs = (visibilityS * 1_000) / 3;
// During an outage nothing can be told to SQS; then close does not wait.
const farewellMs = 500;

export type Held = { readonly done: () => void; readonly giveBack: (inS: number) => void };

export function createHold(options: {
  readonly client: SQSClient;
  readonly urlOf: () => Promise<string>;
  readonly group: string;
  readonly outage: Outage;
  readonly system: System;
  readonly log: Log;
}): { readonly take: (message: Message) => Held; readonly close: () => Promise<void> } {
  const { client, urlOf, group, outage, system, log } = options;
  const way = `${group} acknowledging`;
  const closing = new AbortController();
  const held = new Map<Message, number>();
  let timer = system.after(extendEveryMs, extend);

  const deletes = createBatches<Message>((messages, signal) => {
    const Entries = messages.map(({ ReceiptHandle }, index) => ({ Id: String(index), ReceiptHandle }));
    return tell(async (QueueUrl) =>
      client.send(new DeleteMessageBatchCommand({ QueueUrl, Entries }), { abortSignal: signal }),
    );
  });
  type Visibility = { readonly message: Message; readonly inS: number };
  const visibilities = createBatches<Visibility>((changes, signal) => {
    const Entries = changes.map(({ message: { ReceiptHandle }, inS }, index) => ({
      Id: String(index),
      ReceiptHandle,
      VisibilityTimeout: inS,
    }));
    return tell(async (QueueUrl) =>
      client.send(new ChangeMessageVisibilityBatchCommand({ QueueUrl, Entries }), { abortSignal: signal }),
    );
  });

  function createBatches<T>(send: (batch: readonly T[], signal: AbortSignal) => Promise<void>) {
    const waiting: T[] = [];
    const calls = new Set<Promise<void>>();
    // Calls that will look at what waits once more.
    let looking = 0;
    // The first call waits for this turn to end: what is done together leaves together.
    async function drain(): Promise<void> {
      looking += 1;
      await null;
      while (waiting.length > 0) {
        const batch = waiting.splice(0, batchMax);
        const bounds = { what: 'a call of SQS', ms: callTimeoutMs, signal: closing.signal, system };
        await within(bounds, (signal) => send(batch, signal)).then(() => outage.worked(way), failed);
      }
      looking -= 1;
    }
    return {
      add: (one: T) => {
        waiting.push(one);
        if (looking > 0 && (looking === callsMax || waiting.length < batchMax)) return;
        const call = drain().finally(() => calls.delete(call));
        calls.add(call);
      },
      drained: () => Promise.all(calls),
    };
  }

  // What is not allowed to be deleted comes again for ever: a person must hear of it. A queue that is gone
  // took the messages with it.
  function failed(error: unknown): void {
    log.debug({ group, error: String(error) }, 'messages could not be deleted or kept; they come again');
    if (!closing.signal.aborted && !isMissing(error)) outage.failed(way, error);
  }

  async function tell(
    send: (url: string) => Promise<{ readonly Failed?: readonly { readonly Code?: string | undefined }[] | undefined }>,
  ): Promise<void> {
    const { Failed = [] } = await send(await urlOf());
    if (Failed.length > 0) log.debug({ group, failed: Failed }, 'SQS refused outdated handles');
  }

  function extend(): void {
    const nowMs = system.monotonicMs();
    for (const [message, sinceMs] of held) {
      // Past the limit SQS refuses: the message becomes visible and another reader meets the same claim.
      if (nowMs - sinceMs + visibilityS * 1_000 < heldMsMax) visibilities.add({ message, inS: visibilityS });
    }
    timer = system.after(extendEveryMs, extend);
  }

  return {
    take: (message) => {
      held.set(message, system.monotonicMs());
      return {
        done: () => {
          held.delete(message);
          deletes.add(message);
        },
        giveBack: (inS) => {
          held.delete(message);
          visibilities.add({ message, inS });
        },
      };
    },
    close: async () => {
      timer.cancel();
      const told = Promise.all([deletes.drained(), visibilities.drained()]);
      const farewell = new AbortController();
      await Promise.race([told, system.sleep(farewellMs, farewell.signal)]);
      farewell.abort();
      closing.abort(new Error('the subscription was closed'));
      await told;
      outage.left(way);
    },
  };
}
