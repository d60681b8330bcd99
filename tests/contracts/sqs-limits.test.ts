// The limits of SQS, kept where no emulator keeps them and where no test could wait for them: the client
// is replaced, the clock too.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Message as Handed, SQSClient } from '@aws-sdk/client-sqs';
import fc from 'fast-check';
import type { Message } from '../../src/engine/ports.ts';
import { createOutage } from '../../src/io/buses/outage.ts';
import { createHold } from '../../src/io/buses/sqs-hold.ts';
import { sendAll } from '../../src/io/buses/sqs-sender.ts';
import { toBody, toText } from '../../src/io/buses/text.ts';
import { createMemoryLog, silentLog } from '../support/silent-log.ts';
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

  it('of one order keep their order in a FIFO queue, and never share a batch of which a part may fail', async () => {
    await fc.assert(
      fc.asyncProperty(messages, async (given) => {
        const { sent, batches } = await send(given, true);
        for (const batch of batches) {
          assert.equal(new Set(batch.map(({ MessageGroupId }) => MessageGroupId)).size, batch.length);
        }
        for (const key of new Set(sent.map((message) => message.key))) {
          const idsOfKey = batches.flat().filter(({ MessageGroupId }) => MessageGroupId === key);
          assert.deepEqual(
            idsOfKey.map(({ MessageDeduplicationId }) => MessageDeduplicationId),
            sent.filter((message) => message.key === key).map(({ id }) => id),
          );
        }
      }),
    );
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

describe('a message of SQS that is held', () => {
  const setUp = () => {
    const system = createVirtualSystem();
    const { client, calls } = createClient();
    const log = createMemoryLog();
    const outage = createOutage({ server: 'SQS', address: 'a test', log });
    const urlOf = async () => 'a queue';
    const hold = createHold({ client, urlOf, group: 'payment', outage, system, log: silentLog });
    const handed = (name: string): Handed => ({ ReceiptHandle: name });
    const handlesOf = (name: string) =>
      calls.filter((call) => call.name === name).flatMap(({ entries }) => entries.map((entry) => entry.ReceiptHandle));
    return { system, client, calls, hold, handed, handlesOf, said: log.lines };
  };

  it('is kept invisible until twelve hours have passed, and then let go', async () => {
    const { system, hold, handed, handlesOf } = setUp();
    hold.take(handed('a'));
    const hourMs = 3_600_000;
    for (let hour = 0; hour < 11; hour += 1) await system.advance(hourMs);
    const before = handlesOf('ChangeMessageVisibilityBatchCommand').length;
    assert.ok(before >= (11 * hourMs) / 15_000, `${before} extensions of thirty seconds in eleven hours`);
    await system.advance(hourMs);
    const until = handlesOf('ChangeMessageVisibilityBatchCommand').length;
    await system.advance(hourMs);
    assert.equal(handlesOf('ChangeMessageVisibilityBatchCommand').length, until);
    await hold.close();
  });

  it('is told of to the log, once, when it may not be deleted', async () => {
    const { client, hold, handed, said } = setUp();
    client.send = async () => {
      throw new Error('not authorized to perform: sqs:DeleteMessage');
    };
    for (const name of ['a', 'b']) {
      hold.take(handed(name)).done();
      await new Promise(setImmediate);
    }
    assert.equal(said.length, 1);
    assert.match(said[0] ?? '', /^warn: .*sqs:DeleteMessage/);
    await hold.close();
    assert.equal(said.length, 1);
  });

  it('is deleted when it is done, with others that are done at the same time', async () => {
    const { system, calls, hold, handed, handlesOf } = setUp();
    const held = Array.from({ length: 25 }, (_, index) => hold.take(handed(`${index}`)));
    for (const one of held) one.done();
    await system.calm();
    assert.equal(new Set(handlesOf('DeleteMessageBatchCommand')).size, 25);
    assert.equal(calls.length, 3);
    await system.advance(60_000);
    assert.deepEqual(handlesOf('ChangeMessageVisibilityBatchCommand'), []);
    await hold.close();
  });

  it('is deleted also when it is done at the very moment at which a call for others ends', async () => {
    for (let turns = 0; turns < 40; turns += 1) {
      const { system, hold, handed, handlesOf } = setUp();
      const [first, second] = [hold.take(handed('first')), hold.take(handed('second'))];
      first.done();
      for (let turn = 0; turn < turns; turn += 1) await null;
      second.done();
      await system.calm();
      assert.deepEqual(handlesOf('DeleteMessageBatchCommand').sort(), ['first', 'second'], `after ${turns} turns`);
      await hold.close();
    }
  });
});
