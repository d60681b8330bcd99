// The server goes away and comes back: nothing fails that could wait, nothing waits that should fail.

import assert from 'node:assert/strict';
import { afterEach, describe, it } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { createMemoryLog } from '../support/silent-log.ts';
import { until } from '../support/until.ts';
import type { BusOfTest } from './bus.contract.ts';
import { createWorld, idsOf, messagesOf, publishAll, read } from './bus-world.ts';

// A server that was killed reads its log anew, and a reader may have to wait for its old session to lapse.
const recoveryMs = 120_000;
// No promise of the port, but a process that stops has ten seconds for everything.
const closeMs = 5_000;
// Its lease ends the relay's patience after five seconds.
const publishMs = 15_000;

export function faultContract({ open, server }: BusOfTest): void {
  describe('the server away', { skip: server === null }, () => {
    if (server === null) return;
    afterEach(() => server.start());

    for (const end of ['stop', 'kill'] as const) {
      it(`loses nothing by a ${end} while messages are published and read`, async () => {
        const world = createWorld();
        const reader = await read(open(world), world, 'payment');
        const bus = open(world);
        const sent: string[] = [];
        const load = new AbortController();
        const publishing = (async () => {
          while (!load.signal.aborted) {
            // As the relay does it: the same again until the bus has them.
            const messages = messagesOf(world, 20);
            const publish = async () => {
              await bus.publish(messages, AbortSignal.timeout(5_000));
              return true;
            };
            await until(publish, 'a publish', { patienceMs: recoveryMs });
            sent.push(...idsOf(messages));
            await pause(5);
          }
        })();
        await until(() => reader.ids().size > 200, 'the first messages');
        await server[end]();
        await pause(1_000);
        await server.start();
        const before = sent.length;
        await until(() => sent.length > before + 400, 'publishing to go on', { patienceMs: recoveryMs });
        load.abort();
        await publishing;
        await until(() => sent.every((id) => reader.ids().has(id)), 'all messages', { patienceMs: recoveryMs });
        await reader.close();
      });
    }

    it('lets a bus be opened and subscribed, refuses to publish, and says so once', async () => {
      await server.stop();
      const world = createWorld();
      const log = createMemoryLog();
      const bus = open(world, log);
      const reader = await read(bus, world, 'payment');
      const sent = messagesOf(world, 10);
      for (let tries = 0; tries < 3; tries += 1) {
        await within(publishMs, 'a publish to fail', assert.rejects(bus.publish(sent, new AbortController().signal)));
      }
      const stopping = new AbortController();
      const publishing = assert.rejects(bus.publish(sent, stopping.signal));
      stopping.abort(new Error('the relay stops'));
      await within(1_000, 'a canceled publish to fail', publishing);
      const warnings = log.lines.filter((line) => line.startsWith('warn:'));
      assert.equal(warnings.length, 1, warnings.join('\n'));
      await server.start();
      await until(() => publishAll(bus, sent).then(() => true), 'a publish', { patienceMs: recoveryMs });
      await until(() => reader.ids().size === sent.length, 'all messages', { patienceMs: recoveryMs });
      await reader.close();
    });

    it('does not hold up the end of a process', async () => {
      const world = createWorld();
      const bus = open(world);
      const reader = await read(bus, world, 'payment');
      await publishAll(bus, messagesOf(world, 10));
      await until(() => reader.ids().size === 10, 'the first messages');
      await server.stop();
      const late = open(world);
      const latecomer = await read(late, world, 'payment');
      const publishing = bus.publish(messagesOf(world, 10), new AbortController().signal).catch(() => {});
      await within(closeMs, 'the end', Promise.all([reader.close(), latecomer.close()]));
      await within(closeMs, 'the end', Promise.all([bus.close(), late.close()]));
      await within(publishMs, 'the publish', publishing);
    });
  });
}

async function within<T>(ms: number, what: string, promise: Promise<T>): Promise<T> {
  const timer = new AbortController();
  const late = pause(ms, undefined, { signal: timer.signal }).then(() => {
    throw new Error(`${what} took longer than ${ms} ms`);
  });
  late.catch(() => {});
  try {
    return await Promise.race([promise, late]);
  } finally {
    timer.abort();
  }
}
