// The topics on Kafka: made as they are missing, named after streams or types, deleted under their readers.

import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { Admin, type ConfigDescription, ConfigResourceTypes } from '@platformatic/kafka';
import { createOutage } from '../../src/engine/outage.ts';
import { readGroup } from '../../src/io/kafka/reader.ts';
import { createTopics } from '../../src/io/kafka/topics.ts';
import { createSystem } from '../../src/io/system.ts';
import { start } from '../support/services.ts';
import { createMemoryLog, silentLog } from '../support/silent-log.ts';
import { until } from '../support/until.ts';
import { createWorld, idOf, idsOf, messagesOf, publishAll, read, signal } from './bus-world.ts';
import { startLine } from './line.ts';
import { brokers, openBus } from './open-kafka.ts';
import { closedAfterwards } from './opened.ts';

process.env.KAFKA_BROKERS = await start('kafka');
// A session lasts ten seconds on the broker of the tests, and the machine may be busy.
const patienceMs = 60_000;
const retentionMs = '604800000';
// Without anybody's help, after the last deletion.
const resumedMs = 10_000;

describe('the topics on Kafka', { timeout: 300_000 }, () => {
  const open = closedAfterwards(openBus);
  const admin = new Admin({ clientId: 'orderly-test', bootstrapBrokers: brokers() });
  after(() => admin.close());
  const partitionsOf = async (topic: string) =>
    (await admin.metadata({ topics: [topic] })).topics.get(topic)?.partitions;

  it('gets the topics that are missing, with the set partitions and a retention of a week', async () => {
    const world = createWorld();
    open(world, silentLog, { partitions: 3 });
    await until(async () => (await partitionsOf(world.stream))?.length === 3, 'three partitions');
    const asked = {
      resourceType: ConfigResourceTypes.TOPIC,
      resourceName: world.stream,
      configurationKeys: ['retention.ms'],
    };
    const described: ConfigDescription[] = await admin.describeConfigs({ resources: [asked] });
    assert.equal(described[0]?.configs[0]?.value, retentionMs);
  });

  it('leaves a topic as it is that is there already', async () => {
    const world = createWorld();
    await admin.createTopics({ topics: [world.stream], partitions: 2, replicas: 1 });
    const bus = open(world, silentLog);
    await publishAll(bus, messagesOf(world, 1));
    assert.equal((await partitionsOf(world.stream))?.length, 2);
  });

  it('says in one sentence what to do when a topic may not be created', async () => {
    const world = createWorld();
    const log = createMemoryLog();
    const bus = open(world, log, { partitions: 0 });
    await assert.rejects(bus.publish(messagesOf(world, 1), signal), {
      message: new RegExp(`refused to create the topic ${world.stream} .*: create it with 0 partitions, or allow`),
    });
    const refused = () => log.lines.filter((line) => line.includes('refused to create'));
    await until(() => refused().length > 0, 'the sentence in the log');
    assert.equal(refused().length, 1);
  });

  it('makes the topics and says that Kafka is back when it was away at the start, with nothing to publish or read', async (t) => {
    const line = await startLine(`http://${process.env.KAFKA_BROKERS}`);
    t.after(line.close);
    await line.cut();
    const world = createWorld();
    const log = createMemoryLog();
    open(world, log, { brokers: [new URL(line.url).host] });
    await until(() => log.lines.some((text) => text.includes('cannot be used')), 'the warning', { patienceMs });
    await line.mend();
    await until(() => log.lines.some((text) => text.includes('is back')), 'the end of the outage', { patienceMs });
    assert.equal((await partitionsOf(world.stream))?.length, 6);
  });

  it('gives each type a topic of its own when it is laid out so', async () => {
    const world = createWorld({ payment: ['OrderCreatedV1'], audit: ['OrderCreatedV1', 'PaymentAuthorizedV12'] });
    const bus = open(world, silentLog, { layout: 'by-type' });
    const reader = await read(bus, world, 'payment');
    const audit = await read(bus, world, 'audit');
    const created = messagesOf(world, 5);
    await publishAll(bus, [...created, ...messagesOf(world, 5, () => ({ type: 'PaymentAuthorizedV12' }))]);
    await until(() => audit.ids().size === 10 && reader.ids().size === 5, 'all messages');
    assert.deepEqual([...reader.ids()].sort(), idsOf(created).sort());
    const prefix = world.stream.split('.')[0];
    const topics = (await admin.listTopics()).filter((topic) => topic.startsWith(`${prefix}.`));
    assert.deepEqual(topics.sort(), [`${prefix}.order-created.v1`, `${prefix}.payment-authorized.v12`]);
  });

  it('goes on when the topic is deleted in the middle', async () => {
    const world = createWorld();
    const bus = open(world, silentLog);
    const reader = await read(bus, world, 'payment');
    await publishAll(bus, messagesOf(world, 500));
    await until(() => reader.ids().size === 500, 'the first messages');
    await admin.deleteTopics({ topics: [world.stream] });
    const later = messagesOf(world, 50);
    await until(() => publishAll(bus, later).then(() => true), 'a publish', { patienceMs });
    await until(() => reader.has(later), 'the later ones', { patienceMs });
  });

  for (const protocol of ['consumer', 'classic'] as const) {
    it(`outlives topics that are deleted while it joins a ${protocol} group`, async () => {
      const world = createWorld();
      const [readers] = world.readers;
      assert.ok(readers);
      const system = createSystem();
      const topics = createTopics({ admin: () => admin, names: [world.stream], partitions: 2, system });
      // The worst moment: the member knows its topics to be there, and has not asked for them itself yet.
      let deletionsLeft = 3;
      const vanishing: typeof topics = {
        ...topics,
        ensure: async () => {
          await topics.ensure();
          if (deletionsLeft > 0) await admin.deleteTopics({ topics: [world.stream] });
          deletionsLeft -= 1;
        },
      };
      const taken = new Set<string>();
      const member = readGroup({
        access: { brokers: brokers(), clientId: 'orderly-test', tls: false, sasl: null },
        ...{ group: readers.group, types: readers.types, topicNames: [world.stream], topics: vanishing },
        ...{ protocol, instanceId: null, system, log: silentLog },
        outage: createOutage({ what: 'Kafka', advice: '', log: silentLog, system }),
        receive: (batch) => {
          for (const received of batch) taken.add(idOf(received));
        },
      });
      await until(() => deletionsLeft < 0, 'a session that is left its topic', { patienceMs });
      const sent = messagesOf(world, 20);
      await publishAll(open(world, silentLog), sent);
      await until(() => idsOf(sent).every((id) => taken.has(id)), 'all messages', { patienceMs });
      await member.close();
    });
  }

  it('are made again when they are deleted a moment after they were made', async (t) => {
    const world = createWorld();
    const making = new Admin({ clientId: 'orderly-test', bootstrapBrokers: brokers(), retries: 1, retryDelay: 250 });
    t.after(() => making.close());
    const { createTopics: create } = making;
    let deletionsLeft = 2;
    making.createTopics = (async (options: Parameters<typeof create>[0]) => {
      const made = await create.call(making, options);
      if (deletionsLeft > 0) {
        await admin.deleteTopics({ topics: [world.stream] });
        await until(async () => !(await admin.listTopics()).includes(world.stream), 'the deletion');
      }
      deletionsLeft -= 1;
      return made;
    }) as typeof create;
    const topics = createTopics({
      admin: () => making,
      names: [world.stream],
      partitions: 2,
      system: createSystem(),
    });
    await topics.ensure();
    assert.equal((await partitionsOf(world.stream))?.length, 2);
    assert.ok(deletionsLeft < 0);
  });

  for (const protocol of ['consumer', 'classic'] as const) {
    it(`are read on within seconds by ${protocol} groups after they were deleted again and again`, async () => {
      const names = Array.from({ length: 6 }, (_, index) => `reader${index}`);
      const world = createWorld(Object.fromEntries(names.map((name) => [name, ['OrderCreatedV1']])));
      const bus = open(world, silentLog, { groupProtocol: protocol });
      const readers = await Promise.all(names.map((name) => read(bus, world, name)));
      await publishAll(bus, messagesOf(world, 50));
      await until(() => readers.every((reader) => reader.ids().size === 50), 'the first messages', { patienceMs });
      const load = new AbortController();
      // What was on its way is lost with its topic; it only keeps the topics coming back.
      const publishing = (async () => {
        while (!load.signal.aborted) {
          await bus.publish(messagesOf(world, 20), AbortSignal.timeout(10_000)).catch(() => {});
          await pause(50);
        }
      })();
      for (let deletions = 0; deletions < 40; deletions += 1) {
        await admin.deleteTopics({ topics: [world.stream] }).catch(() => {});
        await pause(30 + (deletions % 6) * 100);
      }
      const later = messagesOf(world, 20);
      const reads = (async () => {
        await publishAll(bus, later);
        const all = () => readers.every((reader) => reader.has(later));
        await until(all, 'what was published after the last deletion', { patienceMs: resumedMs });
      })();
      await reads.finally(() => load.abort());
      await publishing;
    });
  }
});
