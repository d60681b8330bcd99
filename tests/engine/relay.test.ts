import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Message } from '../../src/engine/bus.ts';
import { createRelay } from '../../src/engine/relay.ts';
import { createEventLog, eventAt } from '../support/event-log.ts';
import { createMemoryLog } from '../support/silent-log.ts';
import { createVirtualSystem } from '../support/virtual-system.ts';

// An event log with its cursor, and a bus that keeps what it got; `log.story` is everything that happened, in order.
function setUp() {
  const system = createVirtualSystem();
  const complaints = createMemoryLog();
  const log = createEventLog(system);
  const world = {
    // Set by a test to make the bus fail or dawdle.
    publish: async (_messages: readonly Message[], _signal: AbortSignal) => {},
  };
  const sequenceOf = (message: Message) => Number(JSON.parse(message.body.toString()).sequence);
  const relay = () =>
    createRelay({
      cursors: log.cursors,
      bus: {
        publish: async (messages, signal) => {
          await world.publish(messages, signal);
          log.story.push(`publish ${messages.map((one) => `${one.key}.${sequenceOf(one)}`).join(' ')}`);
        },
      },
      streamOf: (type) => `stream of ${type}`,
      system,
      log: complaints,
    });
  const published = () =>
    log.story.filter((line) => line.startsWith('publish ')).flatMap((line) => line.slice('publish '.length).split(' '));
  return { system, log, world, relay, published, complaints };
}

async function runFor(one: ReturnType<ReturnType<typeof setUp>['relay']>, pass: () => Promise<void>): Promise<void> {
  const stopping = new AbortController();
  const running = one.run(stopping.signal);
  await pass();
  stopping.abort();
  await running;
}

const untilAborted = (_: unknown, signal: AbortSignal) =>
  new Promise<void>((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)));

describe('the relay', { timeout: 20_000 }, () => {
  it('moves its cursor only after the bus has the events', async () => {
    const { relay, log } = setUp();
    log.commit(eventAt(1, 'a', 1), eventAt(2, 'b', 1));
    assert.equal(await relay().runOnce(), 2);
    assert.deepEqual(log.story, ['hold', 'read behind 0', 'publish a.1 b.1', 'store 2 {}']);
  });

  it('publishes whatever it is, to the stream of its name', async () => {
    const { relay, log, world } = setUp();
    const streams: string[] = [];
    world.publish = async (messages) => void streams.push(...messages.map((message) => message.stream));
    log.commit({ ...eventAt(1, 'a', 1), type: 'SomethingNewV7' });
    assert.equal(await relay().runOnce(), 1);
    assert.deepEqual(streams, ['stream of SomethingNewV7']);
  });

  it('keeps its place when the bus refuses, and publishes everything later', async () => {
    const { relay, log, world, system, published, complaints } = setUp();
    log.commit(eventAt(1, 'a', 1), eventAt(2, 'a', 2));
    let tries = 0;
    world.publish = async () => {
      tries += 1;
      if (tries <= 3) throw new Error('the bus is away');
    };
    await runFor(relay(), () => system.advance(1_000));
    assert.deepEqual(published(), ['a.1', 'a.2']);
    const said = complaints.lines.map((line) => line.replace(/ after \d+ s$/, ''));
    assert.deepEqual(said, [
      'warn: handling events for relay fails: the bus is away; they are read again',
      'info: handling events for relay works again',
    ]);
  });

  it('lets another relay try while the bus refuses it', async () => {
    const { relay, log, world, system, published } = setUp();
    log.commit(eventAt(1, 'a', 1));
    world.publish = async () => {
      throw new Error('the bus cannot be reached from here');
    };
    const [stuck, other] = [relay(), relay()];
    await runFor(stuck, async () => {
      await system.advance(10);
      world.publish = async () => {};
      await other.runOnce();
    });
    assert.deepEqual(published(), ['a.1']);
  });

  it('publishes again after a crash between publishing and storing', async () => {
    const { relay, log, published } = setUp();
    log.commit(eventAt(1, 'a', 1));
    const { store } = log.cursors;
    log.cursors.store = () => Promise.reject(new Error('the process dies'));
    await assert.rejects(relay().runOnce(), /dies/);
    log.cursors.store = store;
    log.endLease();
    await relay().runOnce();
    assert.deepEqual(published(), ['a.1', 'a.1']);
    assert.equal(log.state().readTo, 1);
  });

  it('brings an event that was committed late, and never before an earlier one of its subject', async () => {
    const { relay, log, system, published } = setUp();
    const late = log.begin();
    log.commit(eventAt(6, 'b', 1));
    await runFor(relay(), async () => {
      await system.advance(400);
      late.end();
      log.commit(eventAt(5, 'a', 1), eventAt(7, 'a', 2), eventAt(8, 'c', 1));
      await system.advance(20);
    });
    assert.deepEqual(published(), ['b.1', 'a.1', 'a.2', 'c.1']);
  });

  it('stores its place at most four times a second, and what is left within a quarter', async () => {
    const { relay, log, system } = setUp();
    const stores = () => log.story.filter((line) => line.startsWith('store'));
    await runFor(relay(), async () => {
      for (let position = 1; position <= 100; position += 1) {
        log.commit(eventAt(position, 's', position));
        await system.advance(10);
      }
      assert.ok(stores().length <= 5, stores().join());
      await system.advance(250);
      assert.equal(log.state().readTo, 100);
    });
  });

  it('reads every few milliseconds, for other processes write too', async () => {
    const { relay, log, system } = setUp();
    await runFor(relay(), () => system.advance(1_500));
    assert.ok(log.story.filter((line) => line.startsWith('read')).length >= 80);
  });

  it('renews its lease every third of it, not with every round', async () => {
    const { relay, log, system } = setUp();
    await runFor(relay(), () => system.advance(5_000));
    assert.equal(log.story.filter((line) => line === 'hold').length, 3);
  });

  it('reads nothing and publishes nothing while another one has the lease', async () => {
    const { relay, log } = setUp();
    log.commit(eventAt(1, 'a', 1));
    await relay().runOnce();
    log.commit(eventAt(2, 'a', 2));
    const before = log.story.length;
    assert.equal(await relay().runOnce(), 0);
    assert.deepEqual(log.story.slice(before), ['hold']);
  });

  it('does not ask for the lease with every commit while it stands by', async () => {
    const { relay, log, system } = setUp();
    await relay().runOnce();
    const standby = relay();
    const before = log.story.length;
    await runFor(standby, async () => {
      for (let count = 0; count < 100; count += 1) {
        standby.wake();
        await system.advance(10);
      }
    });
    assert.ok(log.story.slice(before).filter((line) => line === 'hold').length <= 2);
  });

  it('publishes nothing when it froze past its lease on the way', async () => {
    const { relay, log, system } = setUp();
    log.commit(eventAt(1, 'a', 1));
    const { read } = log.cursors;
    log.cursors.read = async (...asked) => {
      const seen = await read(...asked);
      await system.advance(5_001);
      return seen;
    };
    await assert.rejects(relay().runOnce(), /ran out/);
    assert.ok(!log.story.some((line) => /publish|store/.test(line)));
  });

  it('gives a publish up when its lease runs out', async () => {
    const { relay, log, world, system } = setUp();
    log.commit(eventAt(1, 'a', 1));
    world.publish = untilAborted;
    const round = assert.rejects(relay().runOnce(), /ran out/);
    await system.advance(5_000);
    await round;
    assert.ok(!log.story.some((line) => line.startsWith('store')));
  });

  it('is woken by a commit of its own process without waiting for its poll', async () => {
    const { relay, log, system, published } = setUp();
    const one = relay();
    await runFor(one, async () => {
      await system.calm();
      log.commit(eventAt(1, 'a', 1));
      one.wake();
      await system.calm();
      assert.deepEqual(published(), ['a.1']);
      assert.equal(system.monotonicMs(), 0);
    });
  });

  it('does not sleep over a wake that came while it was busy', async () => {
    const { relay, log, system, published } = setUp();
    const one = relay();
    const { read } = log.cursors;
    log.cursors.read = async (...asked) => {
      const seen = await read(...asked);
      log.cursors.read = read;
      // Committed just after this round's snapshot.
      log.commit(eventAt(1, 'a', 1));
      one.wake();
      return seen;
    };
    await runFor(one, () => system.advance(5));
    assert.deepEqual(published(), ['a.1']);
  });

  it('stores its place and gives the lease back when it is stopped, also while the bus is away', async () => {
    const { relay, log, world, system } = setUp();
    log.commit(eventAt(1, 'a', 1));
    const one = relay();
    await runFor(one, async () => {
      await system.advance(10);
      log.commit(eventAt(2, 'a', 2));
      await system.advance(20);
      world.publish = untilAborted;
      log.commit(eventAt(3, 'a', 3));
      await system.advance(20);
    });
    assert.deepEqual(log.story.slice(-2), ['store 2 {}', 'release']);
  });
});
