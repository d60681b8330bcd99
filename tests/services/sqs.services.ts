// What only SQS has: queues that are made, missing or of the wrong kind, a second queue for what fails,
// batches of which a part fails, and visibility.

import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import {
  CreateQueueCommand,
  DeleteQueueCommand,
  GetQueueAttributesCommand,
  GetQueueUrlCommand,
  SetQueueAttributesCommand,
  SQSClient,
} from '@aws-sdk/client-sqs';
import { start } from '../support/services.ts';
import { createMemoryLog, silentLog } from '../support/silent-log.ts';
import { until } from '../support/until.ts';
import { createWorld, idsOf, messagesOf, publishAll, read, signal, type World } from './bus-world.ts';
import { openBus as open } from './open-sqs.ts';
import { closedAfterwards } from './opened.ts';
import { startTamperer, type Tamper } from './tamperer.ts';

const endpoint = await start('sqs');
const credentials = { accessKeyId: 'x', secretAccessKey: 'x' };
const sqs = new SQSClient({ endpoint, region: 'us-east-1', credentials });
// What passes between the bus and the server is changed where a test asks for it.
let tamper: Tamper = () => null;
const tamperer = await startTamperer(endpoint, (call, body) => tamper(call, body));
process.env.AWS_ENDPOINT_URL_SQS = tamperer.url;
const openBus = closedAfterwards(open);
after(async () => {
  sqs.destroy();
  await tamperer.close();
});

const nameOf = (world: World, suffix = '.fifo') => `test-${world.readers[0]?.group.slice('orderly.'.length)}${suffix}`;
const urlOf = async (name: string) => (await sqs.send(new GetQueueUrlCommand({ QueueName: name }))).QueueUrl ?? '';
const attributesOf = async (url: string) =>
  (await sqs.send(new GetQueueAttributesCommand({ QueueUrl: url, AttributeNames: ['All'] }))).Attributes ?? {};
const countOf = async (url: string) => {
  const { ApproximateNumberOfMessages: seen, ApproximateNumberOfMessagesNotVisible: held } = await attributesOf(url);
  return Number(seen) + Number(held);
};

describe('the bus on SQS', { timeout: 180_000 }, () => {
  for (const fifo of [true, false]) {
    const suffix = fifo ? '.fifo' : '';
    it(`sets aside what it cannot hand over, ${fifo ? 'FIFO' : 'standard'}`, async () => {
      const world = createWorld();
      const bus = openBus(world, silentLog, fifo);
      const [poison, ...others] = messagesOf(world, 30, (index) => ({ key: `order-${index}` }));
      assert.ok(poison);
      await publishAll(bus, [poison]);
      const url = await urlOf(nameOf(world, suffix));
      const aside = await urlOf(nameOf(world, `-redrive${suffix}`));
      const { RedrivePolicy = '' } = await attributesOf(url);
      const policy = JSON.parse(RedrivePolicy);
      assert.equal(Number(policy.maxReceiveCount), 10);
      // Its ten receipts would take minutes.
      const Attributes = { RedrivePolicy: JSON.stringify({ ...policy, maxReceiveCount: 1 }) };
      await sqs.send(new SetQueueAttributesCommand({ QueueUrl: url, Attributes }));
      const reader = await read(bus, world, 'payment', async (ids) => {
        if (ids.includes(poison.id)) throw new Error('no');
      });
      await publishAll(bus, others);
      await until(async () => (await countOf(aside)) === 1, 'the message aside', { patienceMs: 60_000 });
      await until(() => reader.taken.size === others.length, 'the others');
      await bus.close();
    });
  }

  it('sends again the part of a batch that failed, and keeps the order of each key', async () => {
    const world = createWorld();
    const bus = openBus(world, silentLog);
    let failed = 0;
    tamper = (call, { Entries }) => {
      // What is sent again is less than a full batch.
      if (call !== 'SendMessageBatch' || Entries?.length !== 10) return null;
      const passed = Entries.filter((_, index) => index % 2 === 1);
      const dropped = Entries.filter((_, index) => index % 2 === 0);
      failed += dropped.length;
      return { passed, failed: dropped.map(({ Id }) => ({ Id, Code: 'InternalError', SenderFault: false })) };
    };
    const sent = messagesOf(world, 200, (index) => ({ key: `order-${index % 40}` }));
    await bus.publish(sent, signal);
    tamper = () => null;
    assert.ok(failed >= 50);
    const reader = await read(bus, world, 'payment');
    await until(() => reader.taken.size === sent.length, 'all messages');
    for (let key = 0; key < 40; key += 1) {
      const expected = idsOf(sent.filter((message) => message.key === `order-${key}`));
      assert.deepEqual(
        [...reader.taken].filter((id) => expected.includes(id)),
        expected,
      );
    }
    await bus.close();
  });

  it('refuses a publish of which a part keeps failing, with the reason of SQS', async () => {
    const world = createWorld();
    const bus = openBus(world, silentLog);
    tamper = (call, { Entries = [] }) =>
      call === 'SendMessageBatch'
        ? { passed: Entries.slice(1), failed: [{ Id: Entries[0]?.Id, Code: 'InternalError', SenderFault: false }] }
        : null;
    await assert.rejects(bus.publish(messagesOf(world, 5), signal), /SQS did not take 1 of .*InternalError/);
    tamper = () => null;
    await bus.close();
  });

  it('says in one sentence what to do when a queue is missing and may not be made', async () => {
    const world = createWorld();
    const log = createMemoryLog();
    const bus = openBus(world, log);
    tamper = (call) => (call === 'CreateQueue' ? 'AccessDenied' : null);
    const sentence = new RegExp(`the queue ${nameOf(world, '-redrive')}.fifo is missing .* allow sqs:CreateQueue`);
    await assert.rejects(bus.publish(messagesOf(world, 1), signal), sentence);
    const reader = await read(bus, world, 'payment');
    await until(() => log.lines.some((line) => sentence.test(line)), 'the sentence in the log');
    // Nobody needs to start it again once the queue may be made.
    tamper = () => null;
    await publishAll(bus, messagesOf(world, 1));
    await until(() => reader.taken.size === 1, 'the message');
    await bus.close();
  });

  it('refuses a queue whose redrive queue is of the other kind', async () => {
    const world = createWorld();
    const aside = nameOf(world, '-elsewhere.fifo');
    const made = await sqs.send(new CreateQueueCommand({ QueueName: aside, Attributes: { FifoQueue: 'true' } }));
    const { QueueArn: deadLetterTargetArn } = await attributesOf(made.QueueUrl ?? '');
    const RedrivePolicy = JSON.stringify({ deadLetterTargetArn, maxReceiveCount: 3 });
    await sqs.send(new CreateQueueCommand({ QueueName: nameOf(world, ''), Attributes: { RedrivePolicy } }));
    const bus = openBus(world, silentLog, false);
    await assert.rejects(bus.publish(messagesOf(world, 1), signal), /elsewhere.fifo, which is not a standard queue/);
    await bus.close();
  });

  it('makes a queue anew that was deleted while it was read', async () => {
    const world = createWorld();
    const bus = openBus(world, silentLog);
    const reader = await read(bus, world, 'payment');
    await publishAll(bus, messagesOf(world, 10));
    await until(() => reader.taken.size === 10, 'the first messages');
    await sqs.send(new DeleteQueueCommand({ QueueUrl: await urlOf(nameOf(world)) }));
    const later = messagesOf(world, 10);
    await publishAll(bus, later);
    await until(() => reader.taken.size === 20, 'the later ones', { patienceMs: 60_000 });
    await bus.close();
  });

  it('keeps a message invisible that is held longer than its visibility', async () => {
    const world = createWorld();
    // Shorter than the first extension plus what the test holds, longer than the wait for the extension.
    const Attributes = { FifoQueue: 'true', VisibilityTimeout: '13' };
    await sqs.send(new CreateQueueCommand({ QueueName: nameOf(world), Attributes }));
    const bus = openBus(world, silentLog);
    const reader = await read(bus, world, 'payment', () => pause(20_000));
    await publishAll(bus, messagesOf(world, 1));
    await until(() => reader.taken.size === 1, 'the message', { patienceMs: 60_000 });
    const url = await urlOf(nameOf(world));
    await until(async () => (await countOf(url)) === 0, 'its end');
    assert.equal(reader.seen.length, 1);
    await bus.close();
  });

  it('lives with handles that are outdated', async () => {
    const world = createWorld();
    const Attributes = { FifoQueue: 'true', VisibilityTimeout: '1' };
    await sqs.send(new CreateQueueCommand({ QueueName: nameOf(world), Attributes }));
    const bus = openBus(world, silentLog);
    const reader = await read(bus, world, 'payment', async () => {
      if (reader.calls() === 1) await pause(3_000);
    });
    await publishAll(bus, messagesOf(world, 1));
    await until(() => reader.seen.length >= 2, 'the message twice');
    const url = await urlOf(nameOf(world));
    await until(async () => reader.running() === 0 && (await countOf(url)) === 0, 'an empty queue');
    await bus.close();
  });
});
