// Events as somebody else reads them: a console consumer on Kafka that knows nothing of Orderly but its
// published documents. `kcat` where it is installed, else the Kafka client, printing what a console would.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { Consumer, MessagesStreamModes } from '@platformatic/kafka';
import { Ajv2020 } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import { HTTP } from 'cloudevents';
import { startLoad } from '../support/client.ts';
import { inInstallation, slowestTest } from '../support/installation.ts';
import type { Postgres } from '../support/postgres.ts';
import { until } from '../support/until.ts';
import { startServer } from '../support/world.ts';
import { type BusServer, openBusServer } from './bus-server.ts';

type Line = { readonly topic: string; readonly key: string; readonly text: string };
type Seen = { readonly id: string; readonly type: string; readonly subject: string; readonly sequence: string };

const schemas = join(dirname(dirname(import.meta.dirname)), 'docs/schemas');
const topicOf: Readonly<Record<string, string>> = {
  Order: 'orders.events.v1',
  Payment: 'payments.events.v1',
  Fulfillment: 'fulfillment.events.v1',
};
const topics = Object.values(topicOf);

describe('a console consumer', { timeout: 2 * slowestTest.timeout }, () => {
  let postgres: Postgres;
  let bus: BusServer;
  before(async () => {
    postgres = await startServer();
    bus = await openBusServer('kafka');
  });
  after(async () => {
    await bus.close();
    await postgres.stop();
  });

  it('reads every event as one line: a valid CloudEvent by its published schema, in order per order and topic', async () => {
    await inInstallation(postgres, bus.settings, async ({ client, startRole, sql, audited }) => {
      await Promise.all([startRole('api'), startRole('relay'), startRole('worker')]);
      const load = startLoad(client, { scenarios: ['success', 'failure', 'fatal', 'flaky'] });
      await load.more(30);
      await load.stop();
      await audited();
      const [{ events } = { events: 0 }] = await sql<{ events: number }>(
        'SELECT count(*)::integer AS events FROM events',
      );
      const lines = await until(async () => {
        const all = await readTopics(String(bus.settings.KAFKA_BROKERS), events);
        return new Set(all.map(({ text }) => (JSON.parse(text) as Seen).id)).size === events ? all : null;
      }, `${events} events on the topics`);

      const isValid = createValidator();
      const newest = new Map<string, string>();
      const seen = new Set<string>();
      for (const { topic, key, text } of lines) {
        assert.ok(!text.includes('\n'), 'one line');
        const headers = { 'content-type': 'application/cloudevents+json' };
        const event = HTTP.toEvent({ headers, body: text }) as unknown as Seen & { validate: () => boolean };
        assert.ok(event.validate());
        assert.deepEqual(isValid(JSON.parse(text)), [], text);
        assert.equal(key, event.subject);
        assert.equal(topic, topicOf[/^[A-Z][a-z]+/.exec(event.type)?.[0] ?? '']);
        // What comes a second time may come late.
        if (seen.has(event.id)) continue;
        seen.add(event.id);
        const place = `${topic} ${key}`;
        assert.ok(event.sequence > (newest.get(place) ?? ''), `${event.type} of ${key} comes after a later event`);
        newest.set(place, event.sequence);
      }
    });
  });
});

// Whatever is there, oldest first per partition; at least `count` messages, or what there is after a while.
async function readTopics(brokers: string, count: number): Promise<Line[]> {
  const format = '%t\\t%k\\t%s\\n';
  if (spawnSync('kcat', ['-V']).status === 0) {
    return topics.flatMap((topic) => {
      const { stdout } = spawnSync('kcat', ['-b', brokers, '-t', topic, '-C', '-e', '-q', '-f', format]);
      const rows = stdout.toString('utf8').split('\n').slice(0, -1);
      return rows.map((row) => {
        const [from = '', key = '', ...rest] = row.split('\t');
        return { topic: from, key, text: rest.join('\t') };
      });
    });
  }
  const client = { clientId: 'console', bootstrapBrokers: brokers.split(',') };
  const consumer = new Consumer({ ...client, groupId: `console-${process.pid}-${performance.now()}` });
  const lines: Line[] = [];
  const stream = await consumer.consume({ topics, mode: MessagesStreamModes.EARLIEST, autocommit: false });
  for await (const { topic, key, value } of stream) {
    lines.push({ topic, key: String(key), text: String(value) });
    if (lines.length >= count) break;
  }
  await consumer.close(true);
  return lines;
}

// Answers what is wrong with a message by the published schemas.
function createValidator(): (message: unknown) => readonly string[] {
  const ajv = new Ajv2020({ strict: false });
  addFormats.default(ajv);
  const load = (name: string) => ajv.compile(JSON.parse(readFileSync(join(schemas, `${name}.json`), 'utf8')) as object);
  const envelope = load('envelope');
  const data = new Map<string, ReturnType<typeof load>>();
  return (message) => {
    const { type, data: given } = message as { type: string; data: unknown };
    const isData = data.get(type) ?? load(type);
    data.set(type, isData);
    const errors = [envelope(message) ? null : envelope.errors, isData(given) ? null : isData.errors];
    return errors.filter((error) => error !== null).map((error) => JSON.stringify(error));
  };
}
