import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Consumer, Picked } from '../../src/engine/consumer.ts';
import { createPoller } from '../../src/engine/poller.ts';
import type { Sought } from '../../src/engine/ports.ts';
import { createMemoryLog } from '../support/silent-log.ts';
import { createVirtualSystem } from '../support/virtual-system.ts';

const nothing: Picked = { count: 0, nextDueInMs: null };

function setUp(given: { mode?: Consumer['mode'] } = {}) {
  const system = createVirtualSystem();
  const log = createMemoryLog();
  const polls: { sought: Sought; atMs: number }[] = [];
  const world = { poll: async (_sought: Sought, _signal: AbortSignal): Promise<Picked> => nothing };
  const consumer: Pick<Consumer, 'consumer' | 'claimDue' | 'mode'> = {
    consumer: 'payment',
    claimDue: (sought, signal) => {
      polls.push({ sought, atMs: system.monotonicMs() });
      return world.poll(sought, signal);
    },
    mode: given.mode ?? (() => 'all'),
  };
  const poller = createPoller({ consumer, turn: async () => {}, system, log });
  const running = async (during: () => Promise<void>) => {
    const stopping = new AbortController();
    const run = poller.run(stopping.signal);
    await during();
    stopping.abort();
    await system.advance(1_000);
    await run;
  };
  const timesOf = (sought: Sought) => polls.filter((poll) => poll.sought === sought).map(({ atMs }) => atMs);
  return { system, log, polls, timesOf, world, poller, running };
}

describe('a poller', { timeout: 20_000 }, () => {
  it('polls again soon while there is more, then not before it knows of any', async () => {
    const { world, system, timesOf, running } = setUp();
    const counts = [200, 200, 3];
    world.poll = async () => ({ ...nothing, count: counts.shift() ?? 0 });
    await running(() => system.advance(1_000));
    assert.deepEqual(timesOf('due'), [0, 20, 40, 60]);
  });

  it('sleeps until the next job is due where that is known', async () => {
    const { world, system, timesOf, running } = setUp();
    world.poll = async () => ({ count: 0, nextDueInMs: system.monotonicMs() < 5_000 ? 5_000 : null });
    await running(() => system.advance(60_000));
    assert.deepEqual(timesOf('due').slice(0, 3), [0, 5_000]);
  });

  it('polls when it is told of work, and when a retry of this process is due', async () => {
    const { poller, system, timesOf, running } = setUp();
    await running(async () => {
      await system.advance(10);
      poller.wakeIn(40);
      await system.advance(100);
      poller.wake();
      await system.advance(10);
    });
    assert.deepEqual(timesOf('due'), [0, 50, 110]);
  });

  it('touches no job while a dependency is away, and polls for a probe when one is allowed', async () => {
    let mode: ReturnType<Consumer['mode']> = 'none';
    const { system, timesOf, running } = setUp({ mode: () => mode });
    await running(async () => {
      await system.advance(2_000);
      assert.deepEqual(timesOf('due'), []);
      mode = 'probe';
      await system.advance(300);
      assert.equal(timesOf('due').length, 1);
    });
  });

  it('polls once a minute for what waited too long, and for events that no release knows, also while a dependency is away', async () => {
    for (const mode of ['all', 'none'] as const) {
      const { system, timesOf, running } = setUp({ mode: () => mode });
      await running(() => system.advance(200_000));
      assert.equal(timesOf('waited-too-long').length, 3, mode);
      assert.equal(timesOf('unknown-version').length, 3, mode);
    }
  });

  it('goes on when the database did not answer, and says so when it begins, each minute and when it is over', async () => {
    const { world, system, polls, log, running } = setUp();
    const { poll } = world;
    world.poll = async () => {
      throw new Error('the database is away');
    };
    await running(async () => {
      await system.advance(150_000);
      assert.ok(polls.length > 500, `${polls.length} tries in two and a half minutes`);
      world.poll = poll;
      await system.advance(1_000);
    });
    assert.deepEqual(log.lines, [
      'warn: claiming due jobs of payment fails: the database is away; it is tried again',
      'warn: claiming due jobs of payment still fails: the database is away; it is tried again',
      'warn: claiming due jobs of payment still fails: the database is away; it is tried again',
      'info: claiming due jobs of payment works again after 150 s',
    ]);
  });

  it('ends when it is stopped, also while it waits for a slot, without a word', async () => {
    const { world, system, log, running } = setUp();
    world.poll = (_, signal) =>
      new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(new Error('stopping'))));
    await running(() => system.advance(1_000));
    assert.deepEqual(log.lines, []);
  });
});
