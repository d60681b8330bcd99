// Who gets what: groups, their members, what comes again, and what a slow reader may cost.

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
import { createWorld, idsOf, messagesOf, publishAll, read, type World } from './bus-world.ts';

// A member that was killed is only missed when its session, lock or visibility runs out.
const takeoverMs = 90_000;
// Of some eighty that are published.
const heldBytesMax = 40 * 1_048_576;

export function groupContract({ open, capabilities, module }: BusOfTest): void {
  describe('groups', () => {
    it('all get every message, and the members of one share them', { skip: module === null }, async () => {
      const world = createWorld({ payment: ['OrderCreatedV1'], audit: ['OrderCreatedV1'] });
      // Each holds what it has for a moment, so that one alone cannot be quicker than the other is awake.
      const slow = async () => void (await pause(20));
      const one = await read(open(world), world, 'payment', slow);
      const two = await read(open(world), world, 'payment', slow);
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

    it('lose nothing while members come and go under load', { skip: module === null }, async () => {
      const world = createWorld();
      const bus = open(world);
      const sent: string[] = [];
      const taken = new Set<string>();
      let handed = 0;
      const take = async (ids: readonly string[]) => {
        await pause(2);
        handed += ids.length;
        for (const id of ids) taken.add(id);
      };
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
      const first = await read(open(world), world, 'payment', take);
      await further();
      const second = await read(open(world), world, 'payment', take);
      await until(() => second.calls() > 0, 'the second member', { patienceMs: takeoverMs });
      const third = await read(open(world), world, 'payment', take);
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

    it('get again what a killed member had not acknowledged', {
      skip: module === null || !capabilities.redelivers,
    }, async (t) => {
      const world = createWorld();
      const bus = open(world);
      const killed = startReader(module ?? '', world, 100);
      t.after(killed.kill9);
      const sent = messagesOf(world, 600);
      await publishAll(bus, sent);
      await until(() => killed.ids().length > 100, 'the reader to hold something');
      await killed.kill9();
      const had = killed.ids();
      const reader = await read(open(world), world, 'payment');
      const all = () => new Set([...had.slice(0, 100), ...reader.taken]).size >= sent.length;
      await until(all, 'what the killed reader held', { patienceMs: takeoverMs });
      await reader.close();
    });

    it('get a batch again that was refused, and everything else meanwhile', {
      skip: !capabilities.redelivers,
    }, async () => {
      const world = createWorld();
      const bus = open(world);
      const sent = messagesOf(world, 300, (index) => ({ key: `order-${index}` }));
      const poison = sent[17]?.id ?? '';
      let refusals = 0;
      let cured = false;
      const reader = await read(bus, world, 'payment', async (ids) => {
        if (!ids.includes(poison) || cured) return;
        refusals += 1;
        throw new Error('no');
      });
      await publishAll(bus, sent);
      await until(() => refusals >= 3, 'the poisoned batch to come again', { patienceMs: takeoverMs });
      // Others pass: at least what shares neither batch nor partition with it.
      await until(() => reader.taken.size >= 100, 'others to pass');
      assert.ok(refusals < 100, `${refusals} tries: it spins`);
      cured = true;
      await until(() => reader.taken.size === sent.length, 'all of them', { patienceMs: takeoverMs });
      await reader.close();
    });

    it('are held back by a pending `receive`, in bounded memory', { skip: !capabilities.durable }, async (t) => {
      const world = createWorld();
      const bus = open(world);
      let release = () => {};
      const gate = new Promise<void>((resolve) => {
        release = resolve;
      });
      t.after(() => release());
      const reader = await read(bus, world, 'payment', () => gate);
      const text = 'x'.repeat(64_000);
      await publishAll(bus, messagesOf(world, 1));
      await until(() => reader.running() > 0, 'the first batch');
      const before = usedBytes();
      let sent = 1;
      for (; sent < 1_200; sent += 40)
        await publishAll(
          bus,
          messagesOf(world, 40, () => ({ text })),
        );
      // Time for whatever would be fetched ahead; more of it could only make the test stricter.
      await pause(1_500);
      // What nobody holds any more is not always given back at the first collection.
      const isBounded = () => usedBytes() - before < heldBytesMax;
      await until(isBounded, `no more than ${heldBytesMax} bytes to be held for a slow reader`);
      assert.ok(reader.ids().size < sent, 'everything was handed over to a reader that takes nothing');
      release();
      await until(() => reader.taken.size === sent, 'all of them', { patienceMs: takeoverMs });
      await reader.close();
    });

    it('that close while busy wait for what runs, and get nothing after it', async (t) => {
      const world = createWorld();
      const bus = open(world);
      let release = () => {};
      const gate = new Promise<void>((resolve) => {
        release = resolve;
      });
      t.after(() => release());
      const reader = await read(bus, world, 'payment', () => gate);
      const sent = messagesOf(world, 3_000);
      // In batches as the relay's: a slow server would not take all of them within the time for one.
      for (let at = 0; at < sent.length; at += 500) await publishAll(bus, sent.slice(at, at + 500));
      await until(() => reader.running() > 0, 'a batch under way');
      let closed = false;
      const closing = reader.close().then(() => {
        closed = true;
      });
      await pause(200);
      assert.equal(closed, false);
      release();
      await closing;
      assert.equal(reader.running(), 0);
      const calls = reader.calls();
      await publishAll(bus, messagesOf(world, 10));
      await pause(200);
      assert.equal(reader.calls(), calls);
      if (!capabilities.redelivers) return;
      const had = new Set(reader.taken);
      const next = await read(open(world), world, 'payment');
      const all = () => idsOf(sent).every((id) => had.has(id) || next.taken.has(id));
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

export function startReader(module: string, world: World, holdAfter: number) {
  const program = join(import.meta.dirname, 'bus-reader.ts');
  const args = [program, module, JSON.stringify(world), 'payment', String(holdAfter)];
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
