// A connection that falls silent: nobody says that it is broken, and no answer comes. So it is with a router
// that forgot it, or with a server that hangs.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import type { Bus } from '../../src/engine/bus.ts';
import { start } from '../support/services.ts';
import { silentLog } from '../support/silent-log.ts';
import { until } from '../support/until.ts';
import { createWorld, messagesOf, publishAll, read, type World } from './bus-world.ts';
import { startLine } from './line.ts';
import { openBus as openRedis } from './open-redis.ts';
import { openBus as openSqs } from './open-sqs.ts';

// The longest that a reader waits in peace for a message, twice: what is asked may be asked again at once.
const patienceMs = 90_000;
// A process that stops has ten seconds for everything.
const closeMs = 5_000;

type Kind = {
  readonly name: string;
  readonly address: string;
  readonly open: (world: World, url: string) => Bus;
};
const kinds: readonly Kind[] = [
  { name: 'Redis', address: await start('redis'), open: (world, url) => openRedis(world, silentLog, url) },
  {
    name: 'SQS',
    address: await start('sqs'),
    open: (world, url) => {
      process.env.AWS_ENDPOINT_URL_SQS = url;
      return openSqs(world, silentLog);
    },
  },
];

for (const { name, address, open } of kinds) {
  describe(`a bus on ${name} whose connections fall silent`, { timeout: 300_000 }, () => {
    it('publishes and reads on over others', async (t) => {
      const line = await startLine(address);
      t.after(line.close);
      const world = createWorld();
      const bus = open(world, line.url);
      t.after(bus.close);
      const reader = await read(bus, world, 'payment');
      await publishAll(bus, messagesOf(world, 10));
      await until(() => reader.ids().size === 10, 'the first messages');
      await line.hush();
      await assert.rejects(bus.publish(messagesOf(world, 1), AbortSignal.timeout(2_000)));
      await line.mend();
      const later = messagesOf(world, 10);
      await until(() => publishAll(bus, later).then(() => true), 'a publish', { patienceMs });
      await until(() => reader.has(later), 'the later ones', { patienceMs });
    });

    it('is opened in silence, and works when it ends', async (t) => {
      const line = await startLine(address);
      t.after(line.close);
      await line.hush();
      const world = createWorld();
      const bus = open(world, line.url);
      t.after(bus.close);
      const reader = await read(bus, world, 'payment');
      await assert.rejects(bus.publish(messagesOf(world, 1), AbortSignal.timeout(2_000)));
      await line.mend();
      const sent = messagesOf(world, 10);
      await until(() => publishAll(bus, sent).then(() => true), 'a publish', { patienceMs });
      await until(() => reader.has(sent), 'the messages', { patienceMs });
    });

    for (const from of ['start', 'middle'] as const) {
      it(`closes while they are silent, from the ${from} on`, async (t) => {
        const line = await startLine(address);
        t.after(line.close);
        const world = createWorld();
        if (from === 'start') await line.hush();
        const bus = open(world, line.url);
        const reader = await read(bus, world, 'payment');
        if (from === 'middle') {
          await publishAll(bus, messagesOf(world, 10));
          await until(() => reader.ids().size === 10, 'the first messages');
          await line.hush();
        }
        const publishing = bus.publish(messagesOf(world, 1), new AbortController().signal).catch(() => {});
        let isClosed = false;
        const closing = reader
          .close()
          .then(bus.close)
          .then(() => {
            isClosed = true;
          });
        await Promise.race([closing, pause(closeMs, undefined, { ref: false })]);
        assert.ok(isClosed, `it was not closed after ${closeMs} ms`);
        await publishing;
      });
    }
  });
}
