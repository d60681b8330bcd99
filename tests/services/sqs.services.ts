// What only SQS has: queues that are made, missing or deleted, batches of which a part fails, rights that are missing.

import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { DeleteQueueCommand, GetQueueAttributesCommand, GetQueueUrlCommand, SQSClient } from '@aws-sdk/client-sqs';
import { start } from '../support/services.ts';
import { createMemoryLog, silentLog } from '../support/silent-log.ts';
import { until } from '../support/until.ts';
import { createWorld, messagesOf, publishAll, read, signal, type World } from './bus-world.ts';
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
    const sentence = new RegExp(`the queue ${nameOf(world)} is missing .* allow sqs:CreateQueue`);
    await assert.rejects(bus.publish(messagesOf(world, 1), signal), sentence);
    const reader = await read(bus, world, 'payment');
    await until(() => log.lines.some((line) => sentence.test(line)), 'the sentence in the log');
    // Nobody needs to start it again once the queue may be made.
    tamper = () => null;
    await publishAll(bus, messagesOf(world, 1));
    await until(() => reader.ids().size === 1, 'the message');
    await bus.close();
  });

  it('makes a queue anew that was deleted while it was read', async () => {
    const world = createWorld();
    const bus = openBus(world, silentLog);
    const reader = await read(bus, world, 'payment');
    await publishAll(bus, messagesOf(world, 10));
    await until(() => reader.ids().size === 10, 'the first messages');
    await sqs.send(new DeleteQueueCommand({ QueueUrl: await urlOf(nameOf(world)) }));
    const later = messagesOf(world, 10);
    await publishAll(bus, later);
    await until(() => reader.ids().size === 20, 'the later ones', { patienceMs: 60_000 });
    await bus.close();
  });

  it('says in one warning that messages may not be deleted, and reads on', async () => {
    const world = createWorld();
    const log = createMemoryLog();
    const bus = openBus(world, log);
    tamper = (call) => (call === 'DeleteMessageBatch' ? 'AccessDenied' : null);
    const reader = await read(bus, world, 'payment');
    const sent = messagesOf(world, 30, (index) => ({ key: `order-${index}` }));
    await publishAll(bus, sent);
    await until(() => reader.has(sent), 'all messages', { patienceMs: 60_000 });
    const warnings = log.lines.filter((line) => line.startsWith('warn:'));
    assert.equal(warnings.length, 1, warnings.join('\n'));
    tamper = () => null;
    const url = await urlOf(nameOf(world));
    await until(async () => (await countOf(url)) === 0, 'an empty queue', { patienceMs: 60_000 });
    await bus.close();
  });

  it('leaves nothing in the queue that was handed over', async () => {
    const world = createWorld();
    const bus = openBus(world, silentLog);
    const reader = await read(bus, world, 'payment');
    const sent = messagesOf(world, 100);
    await publishAll(bus, sent);
    await until(() => reader.has(sent), 'all messages');
    const url = await urlOf(nameOf(world));
    await until(async () => (await countOf(url)) === 0, 'an empty queue');
    assert.equal(reader.seen.length, 100);
    await bus.close();
  });
});
