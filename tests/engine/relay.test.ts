import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Message, Outbox, Owed } from '../../src/engine/ports.ts';
import { createRelay } from '../../src/engine/relay.ts';
import { createMemoryLog } from '../support/silent-log.ts';
import { createVirtualSystem } from '../support/virtual-system.ts';

function owedAt(position: number, subject: string, version: number): Owed {
  const id = `00000000-0000-7000-8000-${String(position).padStart(12, '0')}`;
  const time = new Date('2026-11-21T07:00:00.000Z');
  const fact = { id, type: 'OrderCreatedV1', subject, version, time, correlationId: 'c-1', data: {} };
  return { position, fact: { ...fact, causationId: null, traceparent: null } };
}

// A table of what is owed that keeps the promise of its port, and a bus that keeps what it got. `story`
// is everything that happened, in order.
function setUp(rows: Owed[] = []) {
  const system = createVirtualSystem();
  const log = createMemoryLog();
  const story: string[] = [];
  const world = {
    rows,
    lanes: [0, 1] as readonly number[],
    // Set by a test to make the outside fail or dawdle.
    publish: async (_messages: readonly Message[], _signal: AbortSignal) => {},
    forget: async () => {},
    read: async () => {},
  };
  const outbox: Outbox = {
    holdLanes: async () => {
      story.push('hold');
      return world.lanes;
    },
    releaseLanes: async () => void story.push('release'),
    owed: async (_lanes, floor, limit) => {
      await world.read();
      story.push(`read behind ${floor}`);
      const isBlocked = ({ fact }: Owed) =>
        world.rows.some(
          (row) => row.fact.subject === fact.subject && row.fact.version < fact.version && row.position <= floor,
        );
      return world.rows
        .filter((row) => row.position > floor && !isBlocked(row))
        .sort((one, other) => one.position - other.position)
        .slice(0, limit);
    },
    forget: async (owed) => {
      await world.forget();
      world.rows = world.rows.filter((row) => !owed.includes(row));
      story.push(`forget ${owed.map((row) => row.position).join(' ')}`);
    },
  };
  const sequenceOf = (message: Message) => Number(JSON.parse(message.body.toString()).sequence);
  const relay = () =>
    createRelay({
      outbox,
      bus: {
        publish: async (messages, signal) => {
          await world.publish(messages, signal);
          story.push(`publish ${messages.map((message) => `${message.key}.${sequenceOf(message)}`).join(' ')}`);
        },
      },
      streamOf: () => 'orders.events.v1',
      system,
      log,
    });
  const published = () =>
    story.filter((line) => line.startsWith('publish ')).flatMap((line) => line.slice('publish '.length).split(' '));
  return { system, log, story, world, relay, published };
}

describe('the relay', { timeout: 20_000 }, () => {
  it('forgets what is owed only after the bus has it', async () => {
    const { relay, story } = setUp([owedAt(1, 'a', 1), owedAt(2, 'b', 1)]);
    assert.equal(await relay().runOnce(), 2);
    assert.deepEqual(story, ['hold', 'read behind -1', 'publish a.1 b.1', 'forget 1 2']);
  });

  it('keeps everything owed when the bus refuses, and publishes it later', async () => {
    const { relay, world, system, story, published, log } = setUp([owedAt(1, 'a', 1), owedAt(2, 'a', 2)]);
    let tries = 0;
    world.publish = async () => {
      tries += 1;
      if (tries <= 3) throw new Error('the bus is away');
    };
    const stopping = new AbortController();
    const running = relay().run(stopping.signal);
    await system.advance(1_000);
    stopping.abort();
    await running;
    assert.deepEqual(published(), ['a.1', 'a.2']);
    assert.equal(story.filter((line) => line.startsWith('forget')).length, 1);
    assert.equal(log.lines.filter((line) => line.startsWith('warn')).length, 3);
  });

  it('publishes again after a crash between publishing and forgetting', async () => {
    const { relay, world, published } = setUp([owedAt(1, 'a', 1)]);
    world.forget = async () => {
      throw new Error('the process dies');
    };
    await assert.rejects(relay().runOnce(), /dies/);
    world.forget = async () => {};
    await relay().runOnce();
    assert.deepEqual(published(), ['a.1', 'a.1']);
    assert.equal(world.rows.length, 0);
  });

  it('brings a fact that was committed late below its floor within seconds, in the order of its subject', async () => {
    const late = owedAt(5, 'a', 1);
    const { relay, world, system, published } = setUp([owedAt(6, 'b', 1)]);
    const stopping = new AbortController();
    const running = relay().run(stopping.signal);
    await system.advance(400);
    world.rows.push(late, owedAt(7, 'a', 2), owedAt(8, 'c', 1));
    await system.advance(100);
    assert.deepEqual(published(), ['b.1', 'c.1'], 'a later version waits for an earlier one that is still owed');
    await system.advance(2_100);
    stopping.abort();
    await running;
    assert.deepEqual(published(), ['b.1', 'c.1', 'a.1', 'a.2']);
  });

  it('brings a fact that was committed a moment late without starting over', async () => {
    const { relay, world, system, published } = setUp([owedAt(6, 'b', 1)]);
    const stopping = new AbortController();
    const running = relay().run(stopping.signal);
    await system.advance(100);
    world.rows.push(owedAt(5, 'a', 1));
    await system.advance(50);
    stopping.abort();
    await running;
    assert.deepEqual(published(), ['b.1', 'a.1']);
  });

  it('walks only what lies behind its floor, and starts over every few seconds', async () => {
    const { relay, system, story } = setUp([owedAt(41, 'a', 1)]);
    const stopping = new AbortController();
    const running = relay().run(stopping.signal);
    await system.advance(300);
    const before = story.length;
    await system.advance(2_700);
    stopping.abort();
    await running;
    const reads = story.slice(before).filter((line) => line.startsWith('read'));
    assert.equal(reads.filter((line) => line === 'read behind -1').length, 1);
    assert.ok(reads.filter((line) => line === 'read behind 41').length > 50);
  });

  it('starts over when it is given more lanes, for they bring older debts', async () => {
    const { relay, world, system, story } = setUp([owedAt(10, 'a', 1)]);
    const one = relay();
    await one.runOnce();
    world.lanes = [0, 1, 2];
    world.rows.push(owedAt(3, 'b', 1));
    await system.advance(1_700);
    await one.runOnce();
    assert.deepEqual(story.slice(-4), ['hold', 'read behind -1', 'publish b.1', 'forget 3']);
  });

  it('starts over when it is given other lanes, as many as before', async () => {
    const { relay, world, system, story } = setUp([owedAt(10, 'a', 1)]);
    const one = relay();
    await one.runOnce();
    world.lanes = world.lanes.map((lane) => lane + 1);
    world.rows.push(owedAt(3, 'b', 1));
    await system.advance(1_700);
    await one.runOnce();
    assert.deepEqual(story.slice(-4), ['hold', 'read behind -1', 'publish b.1', 'forget 3']);
  });

  it('renews its lanes every third of their lease, not with every round', async () => {
    const { relay, system, story } = setUp();
    const stopping = new AbortController();
    const running = relay().run(stopping.signal);
    await system.advance(5_000);
    stopping.abort();
    await running;
    assert.equal(story.filter((line) => line === 'hold').length, 3);
  });

  it('reads nothing and publishes nothing while it holds no lane', async () => {
    const { relay, world, story } = setUp([owedAt(1, 'a', 1)]);
    world.lanes = [];
    assert.equal(await relay().runOnce(), 0);
    assert.deepEqual(story, ['hold']);
  });

  it('publishes nothing when it froze past its lease on the way', async () => {
    const { relay, world, system, story } = setUp([owedAt(1, 'a', 1)]);
    world.read = () => system.advance(5_001);
    await assert.rejects(relay().runOnce(), /lanes were lost/);
    assert.deepEqual(
      story.filter((line) => /publish|forget/.test(line)),
      [],
    );
  });

  it('gives a publish up when its lease on the lanes runs out', async () => {
    const { relay, world, system, story } = setUp([owedAt(1, 'a', 1)]);
    world.publish = (_, signal) =>
      new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
    const round = assert.rejects(relay().runOnce(), /lease on the lanes ran out/);
    await system.advance(5_000);
    await round;
    assert.ok(!story.some((line) => line.startsWith('forget')));
  });

  it('is woken by a commit of its own process without waiting for its poll', async () => {
    const { relay, world, system, published } = setUp();
    const one = relay();
    const stopping = new AbortController();
    const running = one.run(stopping.signal);
    await system.calm();
    world.rows.push(owedAt(1, 'a', 1));
    one.wake();
    await system.calm();
    assert.deepEqual(published(), ['a.1']);
    assert.equal(system.monotonicMs(), 0);
    stopping.abort();
    await running;
  });

  it('does not sleep over a wake that came while it was busy', async () => {
    const { relay, world, system, published } = setUp();
    const one = relay();
    let reads = 0;
    world.read = async () => {
      reads += 1;
      if (reads !== 1) return;
      // Committed just after this round's snapshot.
      queueMicrotask(() => {
        world.rows.push(owedAt(1, 'a', 1));
        one.wake();
      });
      world.rows = [];
    };
    const stopping = new AbortController();
    const running = one.run(stopping.signal);
    await system.advance(5);
    assert.deepEqual(published(), ['a.1']);
    stopping.abort();
    await running;
  });

  it('gives its lanes back when it is stopped, also while the bus is away', async () => {
    const { relay, world, system, story } = setUp([owedAt(1, 'a', 1)]);
    world.publish = (_, signal) =>
      new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
    const stopping = new AbortController();
    const running = relay().run(stopping.signal);
    await system.calm();
    stopping.abort();
    await running;
    assert.equal(story.at(-1), 'release');
  });
});
