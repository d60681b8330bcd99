// The limits of SQS, kept where no emulator keeps them: the client is replaced.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { SQSClient } from '@aws-sdk/client-sqs';
import fc from 'fast-check';
import type { Message } from '../../src/engine/bus.ts';
import { sendAll } from '../../src/io/sqs/sender.ts';
import { toBody, toText } from '../../src/io/sqs/text.ts';
import { createVirtualSystem } from '../support/virtual-system.ts';

type Entry = { readonly Id: string; readonly [name: string]: unknown };
type Call = { readonly name: string; readonly entries: readonly Entry[] };

// Takes everything, some calls later than others that came after them.
function createClient() {
  const calls: Call[] = [];
  let count = 0;
  const send = async (command: { constructor: { name: string }; input: { Entries: Entry[] } }) => {
    count += 1;
    for (let turns = (count * 7) % 5; turns > 0; turns -= 1) await null;
    calls.push({ name: command.constructor.name, entries: command.input.Entries });
    return { Successful: command.input.Entries };
  };
  return { client: { send } as unknown as SQSClient, calls };
}

const messageOf = (id: string, key: string, bytes = 10): Message => ({
  id,
  key,
  type: 'OrderCreatedV1',
  stream: 'orders.events.v1',
  body: Buffer.alloc(bytes, 'x'),
});
const { signal } = new AbortController();

describe('messages for SQS', () => {
  const messages = fc.array(
    fc.record({ key: fc.integer({ min: 0, max: 5 }), bytes: fc.integer({ min: 1, max: 65_536 }) }),
    {
      maxLength: 60,
      size: 'max',
    },
  );
  const send = async (given: readonly { key: number; bytes: number }[], fifo: boolean) => {
    const { client, calls } = createClient();
    const sent = given.map(({ key, bytes }, index) => messageOf(`id-${index}`, `order-${key}`, bytes));
    await sendAll({ client, url: 'a queue', fifo, system: createVirtualSystem() }, sent, signal);
    return { sent, batches: calls.map(({ entries }) => entries as readonly (Entry & Record<string, string>)[]) };
  };

  it('go in batches that SQS takes, each once', async () => {
    await fc.assert(
      fc.asyncProperty(messages, fc.boolean(), async (given, fifo) => {
        const { sent, batches } = await send(given, fifo);
        for (const batch of batches) {
          const bytes = batch.reduce((sum, { MessageBody = '' }) => sum + Buffer.byteLength(MessageBody), 0);
          assert.ok(batch.length >= 1 && batch.length <= 10 && bytes <= 262_144, `${batch.length} with ${bytes} bytes`);
        }
        assert.equal(batches.flat().length, sent.length);
      }),
    );
  });

  it('are new to a FIFO queue each time, also those that it has seen', async () => {
    const { client, calls } = createClient();
    const options = { client, url: 'a queue', fifo: true, system: createVirtualSystem() };
    for (let times = 0; times < 2; times += 1) await sendAll(options, [messageOf('a', 'order')], signal);
    const ids = calls.flatMap(({ entries }) => entries.map(({ MessageDeduplicationId }) => MessageDeduplicationId));
    assert.equal(new Set(ids).size, 2);
    assert.ok(calls.every(({ entries }) => entries[0]?.MessageGroupId === 'order'));
  });

  it('that can never pass are told at once, and not sent again', async () => {
    const calls: unknown[] = [];
    const send = async (command: { input: { Entries: Entry[] } }) => {
      calls.push(command);
      return { Failed: [{ Id: command.input.Entries[0]?.Id, Code: 'InvalidMessageContents', SenderFault: true }] };
    };
    const options = {
      client: { send } as unknown as SQSClient,
      url: 'a queue',
      fifo: true,
      system: createVirtualSystem(),
    };
    await assert.rejects(sendAll(options, [messageOf('a', 'order')], signal), /InvalidMessageContents/);
    assert.equal(calls.length, 1);
  });

  it('come out byte for byte, and go in with no character that SQS refuses', () => {
    const bodies = fc.oneof(
      fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
      fc
        .array(fc.oneof(fc.integer({ min: 0, max: 0xffff }), fc.constantFrom(0x00, 0x09, 0x1f, 0xfffe, 0xffff)), {
          maxLength: 8,
        })
        .map((codes) => Buffer.from(String.fromCharCode(...codes))),
    );
    // Readable in the tools of a broker, as events are.
    assert.equal(toText(Buffer.from('{"text":"žluť 注文 🛒"}')).text, '{"text":"žluť 注文 🛒"}');
    fc.assert(
      fc.property(bodies, (body) => {
        const text = toText(body);
        assert.ok(toBody(text).equals(body));
        assert.match(text.text, /^[\t\n\r\u{20}-\u{d7ff}\u{e000}-\u{fffd}\u{10000}-\u{10ffff}]*$/u);
      }),
    );
  });
});
