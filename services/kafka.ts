// Apache Kafka: one KRaft node that is broker and controller, from Maven, on the machine's own Java.
//
// Promises: listens on loopback only; creates no topic by itself; a restart, also after SIGKILL, keeps
// what was acknowledged by the operating system. The waits of a cluster are shortened to those of tests.

import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Admin, ProduceAcks, Producer, stringSerializers } from '@platformatic/kafka';
import { StartError } from '../src/main/start-error.ts';
import { CommandError, runCommand } from './command.ts';
import { findJava } from './java.ts';
import { isListening } from './listening.ts';
import { fetchJars } from './maven.ts';
import type { Launch, Place, Server } from './server.ts';

const version = '4.4.0';
const heap = '-Xmx512m';
// Any 16 bytes in base64url; fixed, so that a directory can be formatted again.
const clusterId = 'b3JkZXJseS1pbmZyYS0wMQ';
const checkTopic = 'orderly.check';
const requestTimeoutMs = 5_000;
const formatTimeoutMs = 60_000;

export const kafka: Server = {
  name: 'kafka',
  title: `Apache Kafka ${version}`,
  setting: 'KAFKA_BROKERS',
  port: 9092,
  spaceMb: 700,
  addressOf: (port) => `127.0.0.1:${port}`,
  check,
  fromPackages,
  fromDocker: async ({ port }) => ({
    image: `apache/kafka:${version}`,
    innerPort: 9092,
    volume: '/var/lib/kafka/data',
    env: {
      KAFKA_HEAP_OPTS: heap,
      ...asVariables(settingsOf({ port, listen: '0.0.0.0:9092', controller: 9093, logs: '/var/lib/kafka/data' })),
    },
  }),
};

async function check(address: string, depth: 'read' | 'write'): Promise<void> {
  const client = {
    clientId: 'orderly-services',
    bootstrapBrokers: address.split(','),
    retries: 0,
    timeout: requestTimeoutMs,
    connectTimeout: requestTimeoutMs,
  };
  const admin = new Admin(client);
  try {
    const { brokers } = await admin.metadata({ topics: [], forceUpdate: true });
    if (brokers.size === 0) throw new Error('it knows no broker yet');
    if (depth === 'read') return;
    // Left over where a check died in the middle.
    await admin.deleteTopics({ topics: [checkTopic] }).catch(() => undefined);
    await admin.createTopics({ topics: [checkTopic], partitions: 1, replicas: 1 });
    const producer = new Producer({ ...client, serializers: stringSerializers, retries: 20, retryDelay: 100 });
    try {
      await producer.send({ acks: ProduceAcks.ALL, messages: [{ topic: checkTopic, key: 'check', value: 'check' }] });
    } finally {
      await producer.close();
      await admin.deleteTopics({ topics: [checkTopic] });
    }
  } finally {
    await admin.close();
  }
}

async function fromPackages(place: Place): Promise<Launch> {
  const java = await findJava(place, kafka.title, 17);
  const jars = await fetchJars(place, {
    folder: `kafka-${version}`,
    title: kafka.title,
    sizeMb: 75,
    jars: [
      // Interfaces for command-line tools, which are not published for every version.
      { id: `org.apache.kafka:kafka_2.13:${version}`, without: ['org.apache.kafka:kafka-tools-api'] },
      // Without it the broker logs nothing.
      { id: 'org.apache.logging.log4j:log4j-slf4j-impl:2.25.5' },
    ],
    finish: async (directory) => writeFile(join(directory, 'log4j2.properties'), logging),
  });
  const logs = join(place.directory, 'data');
  const settingsFile = join(place.directory, 'server.properties');
  const controller = await freePortAfter(place.port);
  const settings = settingsOf({ port: place.port, listen: `127.0.0.1:${place.port}`, controller, logs });
  await mkdir(logs, { recursive: true });
  await writeFile(
    settingsFile,
    Object.entries(settings)
      .map(([name, value]) => `${name}=${value}\n`)
      .join(''),
  );
  const options = [heap, '-XX:+UseSerialGC', `-Dlog4j2.configurationFile=${join(jars, 'log4j2.properties')}`];
  const program = [...options, '-cp', join(jars, 'lib/*')];
  if (!existsSync(join(logs, 'meta.properties'))) {
    const format = ['kafka.tools.StorageTool', 'format', '--cluster-id', clusterId, '--config', settingsFile];
    try {
      await runCommand(java, [...program, ...format, '--ignore-formatted'], { timeoutMs: formatTimeoutMs });
    } catch (error) {
      if (!(error instanceof CommandError)) throw error;
      throw new StartError(`Kafka cannot format ${logs} (${error.message}): remove that folder and start again.`);
    }
  }
  return { command: java, args: [...program, 'kafka.Kafka', settingsFile], cwd: place.directory };
}

type Shape = { readonly port: number; readonly listen: string; readonly controller: number; readonly logs: string };

function settingsOf({ port, listen, controller, logs }: Shape): Readonly<Record<string, string>> {
  return {
    'process.roles': 'broker,controller',
    'node.id': '1',
    'controller.quorum.voters': `1@127.0.0.1:${controller}`,
    listeners: `PLAINTEXT://${listen},CONTROLLER://127.0.0.1:${controller}`,
    'advertised.listeners': `PLAINTEXT://127.0.0.1:${port}`,
    'listener.security.protocol.map': 'PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT',
    'controller.listener.names': 'CONTROLLER',
    'inter.broker.listener.name': 'PLAINTEXT',
    'log.dirs': logs,
    'auto.create.topics.enable': 'false',
    'num.partitions': '6',
    // One node holds everything.
    'default.replication.factor': '1',
    'min.insync.replicas': '1',
    'offsets.topic.replication.factor': '1',
    'offsets.topic.num.partitions': '1',
    'offsets.topic.segment.bytes': '8388608',
    'transaction.state.log.replication.factor': '1',
    'transaction.state.log.num.partitions': '1',
    'transaction.state.log.min.isr': '1',
    'transaction.state.log.segment.bytes': '8388608',
    'share.coordinator.state.topic.replication.factor': '1',
    'share.coordinator.state.topic.num.partitions': '1',
    'share.coordinator.state.topic.min.isr': '1',
    // Half a gigabyte per partition at most, in files of 32 MiB; two cores, little memory.
    'log.segment.bytes': '33554432',
    'log.retention.bytes': '536870912',
    'log.index.size.max.bytes': '1048576',
    'log.cleaner.dedupe.buffer.size': '8388608',
    'num.network.threads': '2',
    'num.io.threads': '4',
    'background.threads': '2',
    'group.coordinator.threads': '1',
    // After a crash the old registration must lapse before the broker is let in again (9 s by default).
    'broker.session.timeout.ms': '3000',
    'broker.heartbeat.interval.ms': '500',
    // Nobody waits for members that may still come; a dead member is gone after 10 s, not 45 s.
    'group.initial.rebalance.delay.ms': '0',
    'group.min.session.timeout.ms': '1000',
    'group.consumer.min.session.timeout.ms': '1000',
    'group.consumer.session.timeout.ms': '10000',
    'group.consumer.min.heartbeat.interval.ms': '200',
    'group.consumer.heartbeat.interval.ms': '1000',
  };
}

// The image takes each setting as a variable: `node.id` is KAFKA_NODE_ID.
function asVariables(settings: Readonly<Record<string, string>>): Record<string, string> {
  const variable = (name: string) => `KAFKA_${name.replaceAll('.', '_').toUpperCase()}`;
  return Object.fromEntries(Object.entries(settings).map(([name, value]) => [variable(name), value]));
}

// The controller is spoken to by the broker alone; its port is written anew at each start.
async function freePortAfter(port: number): Promise<number> {
  for (let candidate = port + 1; candidate < port + 100; candidate += 1) {
    if (!(await isListening(candidate))) return candidate;
  }
  throw new StartError(
    `Kafka needs a second port, and ${port + 1} to ${port + 99} are all taken: use --port kafka=PORT.`,
  );
}

const logging = `status = warn
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{ISO8601} %-5p %c{1} %m%n
rootLogger.level = info
rootLogger.appenderRef.out.ref = out
logger.config.name = org.apache.kafka.common.config
logger.config.level = warn
`;
