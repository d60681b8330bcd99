// One suite for every bus the product runs on.
//
// Promises: each test has a stream and groups of its own, so that nothing of another test, nor of an
// earlier run on the same server, is met.
// The last tests take the server away; they need hands on it.

import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { pathToFileURL } from 'node:url';
import type { Bus } from '../../src/engine/bus.ts';
import type { Log } from '../../src/engine/ports.ts';
import { silentLog } from '../support/silent-log.ts';
import { until } from '../support/until.ts';
import { faultContract } from './bus-faults.contract.ts';
import { groupContract } from './bus-groups.contract.ts';
import { createWorld, idsOf, messagesOf, publishAll, read, signal, type World } from './bus-world.ts';
import { closedAfterwards } from './opened.ts';

// What the tests may do to the server; `start` resolves when it answers again.
export type ServerHands = {
  readonly stop: () => Promise<void>;
  readonly kill: () => Promise<void>;
  readonly start: () => Promise<void>;
};

export type OpenBus = (world: World, log: Log) => Bus;

export type BusUnderTest = {
  readonly name: string;
  readonly openBus: OpenBus;
  // The file that exports `openBus`, for a process of its own.
  readonly file: string;
  readonly server: ServerHands | null;
  // A body of so many bytes is refused by the server; null where none is.
  readonly refusedBytes: number | null;
};

export type BusOfTest = BusUnderTest & {
  // A bus as another process would have it; closed after the test suite at the latest.
  readonly open: (world: World, log?: Log) => Bus;
  readonly module: string;
};

const bytesMax = 65_536;

export function busContract(tested: BusUnderTest): void {
  const module = pathToFileURL(tested.file).href;

  describe(`the bus on ${tested.name}`, { timeout: 600_000 }, () => {
    before(() => tested.server?.start());
    const opened = closedAfterwards(tested.openBus);
    const open = (world: World, log: Log = silentLog) => opened(world, log);
    const ofTest: BusOfTest = { ...tested, open, module };
    messageContract(ofTest);
    groupContract(ofTest);
    faultContract(ofTest);
  });
}

function messageContract({ open, refusedBytes }: BusOfTest): void {
  describe('messages', () => {
    it('arrive byte for byte: unicode, 64 KiB, without a key', async () => {
      const world = createWorld();
      const bus = open(world);
      const reader = await read(bus, world, 'payment');
      const [plain, unicode, large, keyless, empty] = messagesOf(world, 5, (index) => ({
        key: index === 3 ? '' : `order-${index}`,
        text: ['plain', 'žluťoučký 注文 🛒 \u0000 \u2028 "quoted" <&> \\', 'x', 'no key', ''][index] ?? '',
      }));
      assert.ok(plain && unicode && large && keyless && empty);
      const filler = Buffer.alloc(bytesMax - large.body.length, 'ü'.repeat(2));
      const grown = { ...large, body: Buffer.concat([large.body.subarray(0, -3), filler, large.body.subarray(-3)]) };
      assert.equal(grown.body.length, bytesMax);
      const sent = [plain, unicode, grown, keyless, empty];
      await publishAll(bus, sent);
      await until(() => reader.ids().size === sent.length, 'all five messages');
      for (const { id, body } of sent) {
        assert.ok(
          reader.bodies.some((one) => one.equals(body)),
          `the bytes of ${id} differ`,
        );
      }
      await reader.close();
    });

    it('say where they lay, each its own place', async () => {
      const world = createWorld();
      const bus = open(world);
      const reader = await read(bus, world, 'payment');
      const sent = messagesOf(world, 40);
      await publishAll(bus, sent);
      await until(() => reader.has(sent), 'all messages');
      assert.equal(new Set(reader.places).size, reader.places.length);
      assert.ok(
        reader.places.every((place) => /\S+ \S+, .*\d/.test(place)),
        reader.places[0],
      );
    });

    it('that are published again come again', async () => {
      const world = createWorld();
      const bus = open(world);
      const reader = await read(bus, world, 'payment');
      const sent = messagesOf(world, 20);
      await publishAll(bus, sent);
      await until(() => reader.seen.length >= 20, 'all messages');
      await publishAll(bus, sent);
      const isTwice = ({ id }: { id: string }) => reader.seen.filter((seen) => seen === id).length >= 2;
      await until(() => sent.every(isTwice), 'all messages again');
    });

    it('of a type reach the groups that read it', async () => {
      const world = createWorld({ payment: ['OrderCreatedV1'], all: ['OrderCreatedV1', 'PaymentAuthorizedV1'] });
      const bus = open(world);
      const payment = await read(bus, world, 'payment');
      const all = await read(bus, world, 'all');
      const created = messagesOf(world, 10);
      const authorized = messagesOf(world, 10, () => ({ type: 'PaymentAuthorizedV1' }));
      await publishAll(bus, [...created, ...authorized]);
      await until(() => all.ids().size === 20 && payment.ids().size >= 10, 'both types');
      // A bus may bring more than the group's types, but none of its own may be missing.
      for (const id of idsOf(created)) assert.ok(payment.ids().has(id));
      await Promise.all([payment.close(), all.close()]);
    });

    it('published while nobody reads wait for their readers', async () => {
      const world = createWorld();
      const sent = messagesOf(world, 300);
      const publisher = open(world);
      await publishAll(publisher, sent);
      await publisher.close();
      const reader = await read(open(world), world, 'payment');
      await until(() => reader.ids().size === sent.length, 'what was published before');
      await reader.close();
    });

    it('of a batch with one that the server refuses are never dropped in silence', {
      skip: refusedBytes === null,
    }, async () => {
      const world = createWorld();
      const bus = open(world);
      const reader = await read(bus, world, 'payment');
      const sent = messagesOf(world, 50, (index) => ({ key: `order-${index}` }));
      const refused = { ...(sent[25] as (typeof sent)[0]), body: Buffer.alloc(refusedBytes ?? 0, 'x') };
      await assert.rejects(bus.publish(sent.with(25, refused), signal));
      // What a publisher does that was told so: all again, here without the one that can never pass.
      const passing = sent.toSpliced(25, 1);
      await bus.publish(passing, signal);
      await until(() => reader.ids().size === passing.length, 'all others');
      await reader.close();
    });
  });
}
