// Who gets what: groups, their members, and what a message costs that waits.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { until } from '../support/until.ts';
import type { BusOfTest } from './bus.contract.ts';
import { createWorld, idOf, idsOf, messagesOf, publishAll, read, type World } from './bus-world.ts';

// A member that was killed is only missed when its session, lock or visibility runs out.
const takeoverMs = 90_000;
// Of some fifty that wait.
const heldBytesMax = 20 * 1_048_576;
const batchMax = 200;

export function groupContract({ open, module }: BusOfTest): void {
  describe('groups', () => {
    it('all get every message, and the members of one share them', async () => {
      const world = createWorld({ payment: ['OrderCreatedV1'], audit: ['OrderCreatedV1'] });
      const one = await read(open(world), world, 'payment');
      const two = await read(open(world), world, 'payment');
      const other = await read(open(world), world, 'audit');
      const bus = open(world);
      const sent: string[] = [];
      await until(
        async () => {
          const messages = messagesOf(world, 50, (index) => ({ key: `order-${index}-${sent.length}` }));
          await publishAll(bus, messages);
          sent.push(...idsOf(messages));
          return one.ids().size > 0 && two.ids().size > 0;
        },
        'a share for both members',
        { patienceMs: takeoverMs },
      );
      await until(() => one.ids().union(two.ids()).size === sent.length, 'all in one group');
      await until(() => other.ids().size === sent.length, 'all in the other');
      await Promise.all([one.close(), two.close(), other.close()]);
    });

    it('miss nothing while members come and go in peace', async () => {
      const world = createWorld();
      const bus = open(world);
      const sent: string[] = [];
      const taken = new Set<string>();
      let handed = 0;
      const join = () =>
        read(open(world), world, 'payment', (batch) => {
          handed += batch.length;
          for (const received of batch) taken.add(idOf(received));
        });
      const load = new AbortController();
      const publishing = (async () => {
        while (!load.signal.aborted) {
          const messages = messagesOf(world, 40, (index) => ({ key: `order-${index}` }));
          await publishAll(bus, messages);
          sent.push(...idsOf(messages));
          await pause(10);
        }
      })();
      const further = () => until(() => taken.size > sent.length - 400, 'the readers to keep up');
      const first = await join();
      await further();
      const second = await join();
      await until(() => second.calls() > 0, 'the second member', { patienceMs: takeoverMs });
      const third = await join();
      await until(() => third.calls() > 0, 'the third member', { patienceMs: takeoverMs });
      await first.close();
      await further();
      await third.close();
      await further();
      load.abort();
      await publishing;
      await until(() => sent.every((id) => taken.has(id)), 'all messages', { patienceMs: takeoverMs });
      // Doubles are harmless, and few: what was under way when a member came or went.
      assert.ok(handed - sent.length < sent.length / 4, `${handed} were handed over for ${sent.length}`);
      await second.close();
    });

    it('go on when a member is killed', async (t) => {
      const world = createWorld();
      const bus = open(world);
      const killed = startReader(module, world);
      t.after(killed.kill9);
      await publishAll(bus, messagesOf(world, 600));
      await until(() => killed.ids().length > 100, 'the member to read', { patienceMs: takeoverMs });
      await killed.kill9();
      const reader = await read(open(world), world, 'payment');
      const later = messagesOf(world, 100, (index) => ({ key: `order-${index}` }));
      await publishAll(bus, later);
      await until(() => reader.has(later), 'what was published after its death', { patienceMs: takeoverMs });
      await reader.close();
    });

    it('get what has piled up in batches of bounded size, in bounded memory', async () => {
      const world = createWorld();
      const bus = open(world);
      const text = 'x'.repeat(64_000);
      const count = 800;
      for (let sent = 0; sent < count; sent += 40)
        await publishAll(
          bus,
          messagesOf(world, 40, () => ({ text })),
        );
      const before = usedBytes();
      const held: number[] = [];
      const reader = await read(bus, world, 'payment', (batch) => {
        assert.ok(batch.length <= batchMax, `${batch.length} messages at once`);
        if (reader.calls() % 5 === 0) held.push(usedBytes() - before);
      });
      await until(() => reader.ids().size === count, 'all of them', { patienceMs: takeoverMs });
      // Half of the time: what nobody holds any more is not always given back at the first collection.
      const usual = held.sort((one, other) => one - other)[Math.floor(held.length / 2)] ?? Number.POSITIVE_INFINITY;
      assert.ok(usual < heldBytesMax, `${usual} bytes were held`);
      await reader.close();
    });

    it('get nothing once they are closed, and leave the rest to the next reader', async () => {
      const world = createWorld();
      const bus = open(world);
      const sent = messagesOf(world, 3_000);
      // In batches as the relay's: a slow server would not take all of them within the time for one.
      for (let at = 0; at < sent.length; at += 500) await publishAll(bus, sent.slice(at, at + 500));
      const reader = await read(bus, world, 'payment');
      await until(() => reader.calls() > 0, 'a batch');
      await reader.close();
      const calls = reader.calls();
      await publishAll(bus, messagesOf(world, 10));
      await pause(200);
      assert.equal(reader.calls(), calls);
      const next = await read(open(world), world, 'payment');
      const all = () => idsOf(sent).every((id) => reader.ids().has(id) || next.ids().has(id));
      await until(all, 'the rest for the next reader', { patienceMs: takeoverMs });
      await next.close();
    });
  });
}

const usedBytes = (() => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  return () => {
    collect();
    const { heapUsed, arrayBuffers } = process.memoryUsage();
    return heapUsed + arrayBuffers;
  };
})();

export function startReader(module: string, world: World) {
  const program = join(import.meta.dirname, 'bus-reader.ts');
  const args = [program, module, JSON.stringify(world), 'payment'];
  const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  let said = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (said += text));
  const ended = once(child, 'close');
  return {
    ids: () => said.split('\n').slice(0, -1),
    signal: (name: NodeJS.Signals) => void child.kill(name),
    kill9: async () => {
      child.kill('SIGKILL');
      await ended;
    },
    close: async () => {
      child.stdin.end();
      await ended;
    },
  };
}
