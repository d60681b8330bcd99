// A server that speaks SQS: ElasticMQ, from Maven, on the machine's own Java.
//
// Promises: listens on loopback only; the strict limits of SQS; queues and messages survive a stop and a
// start. They do not survive SIGKILL for certain, which SQS does: a test that kills this server shows
// what happens when a bus forgets.

import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CreateQueueCommand, DeleteQueueCommand, ListQueuesCommand, SQSClient } from '@aws-sdk/client-sqs';
import { findJava } from './java.ts';
import { fetchJars } from './maven.ts';
import type { Launch, Place, Server } from './server.ts';

const version = '1.7.1';
const requestTimeoutMs = 4_000;
// The client insists on some; the server reads none.
const besides = { AWS_REGION: 'us-east-1', AWS_ACCESS_KEY_ID: 'orderly', AWS_SECRET_ACCESS_KEY: 'orderly' };

export const sqs: Server = {
  name: 'sqs',
  title: `ElasticMQ ${version} (SQS)`,
  setting: 'AWS_ENDPOINT_URL_SQS',
  port: 9324,
  spaceMb: 300,
  addressOf: (port) => `http://127.0.0.1:${port}`,
  besides,
  check,
  fromPackages,
  fromDocker: async ({ port }) => ({
    image: `softwaremill/elasticmq:${version}`,
    innerPort: 9324,
    volume: '/data',
    files: { '/opt/elasticmq.conf': configurationOf({ port, listen: '0.0.0.0', innerPort: 9324, data: '/data' }) },
  }),
};

async function check(endpoint: string, depth: 'read' | 'write'): Promise<void> {
  const hasOwn = process.env.AWS_ACCESS_KEY_ID !== undefined || process.env.AWS_PROFILE !== undefined;
  const credentials = { accessKeyId: besides.AWS_ACCESS_KEY_ID, secretAccessKey: besides.AWS_SECRET_ACCESS_KEY };
  const client = new SQSClient({
    endpoint,
    region: process.env.AWS_REGION ?? besides.AWS_REGION,
    maxAttempts: 1,
    ...(hasOwn ? {} : { credentials }),
  });
  const abortSignal = AbortSignal.timeout(requestTimeoutMs);
  try {
    await client.send(new ListQueuesCommand({ MaxResults: 1 }), { abortSignal });
    if (depth === 'read') return;
    const { QueueUrl } = await client.send(new CreateQueueCommand({ QueueName: 'orderly-check' }), { abortSignal });
    await client.send(new DeleteQueueCommand({ QueueUrl }), { abortSignal });
  } finally {
    client.destroy();
  }
}

async function fromPackages(place: Place): Promise<Launch> {
  const java = await findJava(place, sqs.title, 11);
  const jars = await fetchJars(place, {
    folder: `elasticmq-${version}`,
    title: sqs.title,
    sizeMb: 45,
    jars: [{ id: `org.elasticmq:elasticmq-server_2.13:${version}` }],
  });
  const data = join(place.directory, 'data');
  await mkdir(data, { recursive: true });
  const file = join(place.directory, 'elasticmq.conf');
  await writeFile(file, configurationOf({ port: place.port, listen: '127.0.0.1', innerPort: place.port, data }));
  const options = ['-Xmx256m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', `-Dconfig.file=${file}`];
  const args = [...options, '-cp', join(jars, 'lib/*'), 'org.elasticmq.server.Main'];
  return { command: java, args, cwd: place.directory };
}

type Shape = { readonly port: number; readonly listen: string; readonly innerPort: number; readonly data: string };

// URLs of queues carry the node's address, so it is the one that clients use.
function configurationOf({ port, listen, innerPort, data }: Shape): string {
  return `include classpath("application.conf")
node-address { protocol = http, host = "127.0.0.1", port = ${port}, context-path = "" }
rest-sqs { enabled = true, bind-hostname = "${listen}", bind-port = ${innerPort}, sqs-limits = strict }
rest-stats { enabled = false }
aws { region = ${besides.AWS_REGION}, accountId = 000000000000 }
messages-storage { enabled = true, uri = "jdbc:h2:${data}/messages", prune-data-on-init = false }
queues-storage { enabled = true, path = "${data}/queues.conf" }
`;
}
