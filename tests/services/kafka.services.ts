// What only Kafka has, beside its topics: keys, foreign writers, members that freeze, a lag that can be read.

import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { pathToFileURL } from 'node:url';
import { Admin, Consumer, MessagesStreamModes, Producer } from '@platformatic/kafka';
import { readLag } from '../../src/io/kafka/lag.ts';
import { createSystem } from '../../src/io/system.ts';
import { kill, start } from '../support/services.ts';
import { createMemoryLog, silentLog } from '../support/silent-log.ts';
import { until } from '../support/until.ts';
import { startReader } from './bus-groups.contract.ts';
import { createWorld, idsOf, messagesOf, publishAll, read, signal } from './bus-world.ts';
import { openBus } from './open-kafka.ts';
import { closedAfterwards } from './opened.ts';

process.env.KAFKA_BROKERS = await start('kafka');
const client = { clientId: 'orderly-test', bootstrapBrokers: [process.env.KAFKA_BROKERS] };
// A session lasts ten seconds on the broker of the tests, and the machine may be busy.
const patienceMs = 60_000;

describe('Kafka', { timeout: 300_000 }, () => {
  const open = closedAfterwards(openBus);
  const admin = new Admin(client);
  after(() => admin.close());
  it('puts a key where its own clients put it, and says in the headers what a message is', async () => {
    const world = createWorld();
    // What Kafka's own hash of these keys is, as its tests have it, and the partition of six that follows.
    const hashes = { '21': -973_932_308, foobar: -790_332_482, 'a-little-bit-long-string': -985_981_536 };
    const keys = Object.keys(hashes);
    await publishAll(
      open(world, silentLog),
      messagesOf(world, 3, (index) => ({ key: keys[index] ?? '' })),
    );
    const consumer = new Consumer({ ...client, groupId: `foreign-${world.stream}` });
    const stream = await consumer.consume({ topics: [world.stream], mode: MessagesStreamModes.EARLIEST });
    const places = new Map<string, number>();
    for await (const { key, partition, headers } of stream) {
      places.set(String(key), partition);
      const texts = new Map([...headers].map(([name, value]) => [String(name), String(value)]));
      assert.match(texts.get('content-type') ?? '', /^application\/cloudevents\+json/);
      assert.equal(texts.get('ce_type'), 'OrderCreatedV1');
      if (places.size === keys.length) break;
    }
    await consumer.close(true);
    const expected = Object.entries(hashes).map(([key, hash]) => [key, (hash & 0x7fff_ffff) % 6]);
    assert.deepEqual(Object.fromEntries(places), Object.fromEntries(expected));
  });

  it('brings what foreign writers write: without headers, without a body, of any bytes', async () => {
    const world = createWorld();
    const bus = open(world, silentLog);
    const reader = await read(bus, world, 'payment');
    await publishAll(bus, messagesOf(world, 1));
    await until(() => reader.ids().size === 1, 'ours');
    const producer = new Producer(client);
    const bytes = Buffer.from([0, 255, 254, 128]);
    await producer.send({ messages: [{ topic: world.stream, value: bytes }, { topic: world.stream }] });
    await producer.close();
    await until(() => reader.bodies.length === 3, 'theirs');
    // Without a key they may be in different partitions, and come in any order.
    assert.deepEqual(
      reader.bodies
        .map((body) => body.toString('hex'))
        .slice(1)
        .sort(),
      ['', bytes.toString('hex')],
    );
  });

  it('does not hand over the types of a stream that a group does not read', async () => {
    const world = createWorld({ payment: ['OrderCreatedV1'], audit: ['OrderCreatedV1', 'OrderFailedV1'] });
    const bus = open(world, silentLog);
    const reader = await read(bus, world, 'payment');
    const failed = messagesOf(world, 200, () => ({ type: 'OrderFailedV1' }));
    const newer = messagesOf(world, 1, () => ({ type: 'OrderCreatedV2' }));
    await publishAll(bus, [...failed, ...messagesOf(world, 20), ...newer]);
    await until(() => reader.ids().size === 21, 'its types, a newer version included');
    await until(async () => (await bus.lag()).get(world.readers[0]?.group ?? '') === 0, 'all to be acknowledged');
    assert.equal(reader.ids().size, 21);
  });

  it('takes a batch that is larger than one request may be', async () => {
    const world = createWorld();
    const bus = open(world, silentLog);
    const reader = await read(bus, world, 'payment');
    const sent = messagesOf(world, 60, () => ({ key: 'one', text: 'x'.repeat(60_000) }));
    await publishAll(bus, sent);
    await until(() => reader.seen.length >= sent.length, 'all of them', { patienceMs });
    assert.deepEqual(reader.seen.slice(0, sent.length), idsOf(sent));
  });

  it('tells how many messages wait for a group', async () => {
    const world = createWorld();
    const bus = open(world, silentLog);
    const group = world.readers[0]?.group ?? '';
    assert.deepEqual(await bus.lag(), new Map());
    const reader = await read(bus, world, 'payment');
    await publishAll(bus, messagesOf(world, 250));
    await until(() => reader.ids().size === 250, 'all messages', { patienceMs });
    await until(async () => (await bus.lag()).get(group) === 0, 'the lag to end', { patienceMs });
    await reader.close();
    await publishAll(bus, messagesOf(world, 250));
    assert.equal((await readLag(admin, [{ group, topicNames: [world.stream] }], createSystem())).get(group), 250);
  });

  it('complains of nothing when it is closed in peace', async () => {
    const world = createWorld();
    const log = createMemoryLog();
    const bus = open(world, log);
    const reader = await read(bus, world, 'payment');
    await publishAll(bus, messagesOf(world, 100));
    await until(() => reader.ids().size === 100, 'all messages');
    await reader.close();
    await bus.close();
    assert.deepEqual(
      log.lines.filter((line) => /^(warn|error):/.test(line)),
      [],
    );
  });

  it('does not say that Kafka is back when it is closed while Kafka is away', async () => {
    const world = createWorld();
    const log = createMemoryLog();
    const bus = open(world, log);
    const reader = await read(bus, world, 'payment');
    await publishAll(bus, messagesOf(world, 10));
    await until(() => reader.ids().size === 10, 'all messages', { patienceMs });
    await kill('kafka');
    try {
      await until(() => log.lines.some((line) => line.includes('cannot be used')), 'the warning', { patienceMs });
      // By then a heartbeat is under way, which ends with its consumer.
      for (let tries = 0; tries < 2; tries += 1) await assert.rejects(bus.publish(messagesOf(world, 1), signal));
      await bus.close();
      assert.deepEqual(
        log.lines.filter((line) => line.includes('is back')),
        [],
      );
    } finally {
      await start('kafka');
    }
  });

  it('ends a session that has no broker for a minute, so that its errors do not pile up, and reads again afterwards', async () => {
    const world = createWorld();
    const log = createMemoryLog();
    const bus = open(world, log);
    const reader = await read(bus, world, 'payment');
    await publishAll(bus, messagesOf(world, 10));
    await until(() => reader.ids().size === 10, 'all messages', { patienceMs });
    await kill('kafka');
    try {
      const ended = () => log.lines.some((line) => line.includes('begins anew'));
      await until(ended, 'the end of the session', { patienceMs: 2 * patienceMs });
    } finally {
      await start('kafka');
    }
    const later = messagesOf(world, 10);
    await publishAll(bus, later);
    await until(() => reader.has(later), 'the later ones', { patienceMs });
  });

  it('takes a member back that was frozen for longer than its session', async (t) => {
    const world = createWorld();
    const bus = open(world, silentLog);
    const frozen = startReader(moduleOf(), world);
    t.after(frozen.kill9);
    await publishAll(bus, messagesOf(world, 20));
    await until(() => frozen.ids().length >= 20, 'the member to read', { patienceMs });
    frozen.signal('SIGSTOP');
    const sent = messagesOf(world, 20);
    await publishAll(bus, sent);
    const other = await read(open(world, silentLog), world, 'payment');
    await until(() => other.has(sent), 'the other to take over', { patienceMs });
    await other.close();
    frozen.signal('SIGCONT');
    const later = messagesOf(world, 20);
    await publishAll(bus, later);
    const seen = () => new Set(frozen.ids());
    await until(() => idsOf(later).every((id) => seen().has(id)), 'the member to read again', { patienceMs });
    // It could go on as one whom the group does not know: reading what was its own, and refused each commit.
    const group = world.readers[0]?.group ?? '';
    const places = [{ group, topicNames: [world.stream] }];
    const acknowledged = async () => (await readLag(admin, places, createSystem())).get(group) === 0;
    await until(acknowledged, 'its commits to be taken', { patienceMs });
    await frozen.close();
  });

  it('gives a process that comes back under its name what it had', async () => {
    const world = createWorld();
    const named = (name: string) => open(world, silentLog, { instanceId: name });
    const bus = named('one');
    const reader = await read(bus, world, 'payment');
    const other = await read(named('two'), world, 'payment');
    const seen = () => reader.ids().union(other.ids());
    const first = messagesOf(world, 100, (index) => ({ key: `order-${index}` }));
    await publishAll(bus, first);
    await until(() => seen().size === first.length, 'the first messages', { patienceMs });
    await reader.close();
    const back = await read(named('one'), world, 'payment');
    const later = messagesOf(world, 100, (index) => ({ key: `order-${index}` }));
    await publishAll(bus, later);
    const all = () => idsOf(later).every((id) => back.ids().has(id) || other.ids().has(id));
    await until(all, 'the later ones', { patienceMs });
    await Promise.all([back.close(), other.close()]);
  });
});

const moduleOf = () => pathToFileURL(new URL('open-kafka.ts', import.meta.url).pathname).href;
