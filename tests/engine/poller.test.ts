import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Consumer } from '../../src/engine/consumer.ts';
import { createPull } from '../../src/engine/poller.ts';
import type { Due, Inbox, Missed } from '../../src/engine/ports.ts';
import { createMemoryLog } from '../support/silent-log.ts';
import { createVirtualSystem } from '../support/virtual-system.ts';

const nothingMissed: Missed = { eventIds: [], reachedEnd: true };

function setUp(given: { mode?: () => 'all' | 'probe' | 'none'; slotFree?: Consumer['slotFree'] } = {}) {
  const system = createVirtualSystem();
  const log = createMemoryLog();
  const taken: Due[] = [];
  const asked: { only: string; limit: number; atMs: number }[] = [];
  const askedMissed: { type: string; olderThanMs: number; atMs: number }[] = [];
  const world = {
    due: async (): Promise<readonly Due[]> => [],
    missed: async (_type: string): Promise<Missed> => nothingMissed,
    take: async (_due: Due) => {},
  };
  const consumer: Consumer = {
    consumer: 'payment',
    types: ['OrderCreatedV1', 'OtherV1'],
    receive: async () => {},
    take: async (due) => {
      taken.push(due);
      await world.take(due);
    },
    slotFree: given.slotFree ?? (async () => {}),
    mode: given.mode ?? (() => 'all'),
    stop: async () => {},
  };
  const inbox: Pick<Inbox, 'due' | 'missed'> = {
    due: async (name, limit, only) => {
      assert.equal(name, 'payment');
      asked.push({ only, limit, atMs: system.monotonicMs() });
      return (await world.due()).slice(0, limit);
    },
    missed: async (name, type, olderThanMs) => {
      assert.equal(name, 'payment');
      askedMissed.push({ type, olderThanMs, atMs: system.monotonicMs() });
      return world.missed(type);
    },
  };
  const pull = createPull({ consumer, inbox, system, log });
  const running = async (during: () => Promise<void>) => {
    const stopping = new AbortController();
    const run = pull.run(stopping.signal);
    await during();
    stopping.abort();
    await run;
  };
  return { system, log, taken, asked, askedMissed, world, pull, running };
}

const dueAs = (eventId: string, raw: Buffer | null = null): Due => ({ eventId, raw });

describe('the pull', { timeout: 20_000 }, () => {
  it('offers what is due to its consumer, bytes sent back by a person included', async () => {
    const { pull, world, taken } = setUp();
    const due = [dueAs('a'), dueAs('b', Buffer.from('bytes'))];
    world.due = async () => due;
    assert.equal(await pull.dueOnce(), 2);
    assert.deepEqual(taken, due);
  });

  it('offers the facts that the bus did not bring, of each type, once they are some seconds old', async () => {
    const { pull, world, taken, askedMissed } = setUp();
    world.missed = async (type) => ({ eventIds: [`missed ${type}`], reachedEnd: true });
    assert.equal(await pull.missedOnce(), 2);
    assert.deepEqual(taken, [dueAs('missed OrderCreatedV1'), dueAs('missed OtherV1')]);
    assert.deepEqual(
      askedMissed.map(({ type, olderThanMs }) => ({ type, olderThanMs })),
      [
        { type: 'OrderCreatedV1', olderThanMs: 3_000 },
        { type: 'OtherV1', olderThanMs: 3_000 },
      ],
    );
  });

  it('offers one probe while a dependency may be back, and only what must be parked while it is away', async () => {
    let mode: 'probe' | 'none' | 'all' = 'probe';
    const { pull, world, taken, asked } = setUp({ mode: () => mode });
    world.due = async () => [dueAs('waited longest'), dueAs('b'), dueAs('c')];
    await pull.dueOnce();
    assert.deepEqual(taken, [dueAs('waited longest')]);
    mode = 'none';
    await pull.dueOnce();
    mode = 'all';
    await pull.dueOnce();
    assert.deepEqual(
      asked.map(({ only }) => only),
      ['all', 'waited-too-long', 'all'],
    );
  });

  it('looks again soon while there is more, then every quarter of a second', async () => {
    const { world, system, asked, running } = setUp();
    let left = 3;
    world.due = async () => {
      left -= 1;
      return left >= 0 ? [dueAs(`due ${left}`)] : [];
    };
    await running(() => system.advance(1_000));
    const times = asked.map(({ atMs }) => atMs);
    const [last = 0] = times.slice(3);
    assert.ok(last <= 100, `the fourth look is at ${last} ms`);
    assert.deepEqual(times.slice(4), [last + 250, last + 500, last + 750]);
  });

  it('goes through a backlog of missed facts at once, then looks every second', async () => {
    const { world, system, askedMissed, running } = setUp();
    let left = 2;
    world.missed = async (type) => {
      if (type !== 'OrderCreatedV1') return nothingMissed;
      left -= 1;
      return { eventIds: [], reachedEnd: left < 0 };
    };
    await running(() => system.advance(2_000));
    const times = askedMissed.filter(({ type }) => type === 'OrderCreatedV1').map(({ atMs }) => atMs);
    const [last = 0] = times.slice(2);
    assert.ok(last <= 200, `the third look is at ${last} ms`);
    assert.deepEqual(times.slice(3), [last + 1_000]);
  });

  it('looks when a retry of this process is due, before its next poll', async () => {
    const { pull, system, asked, running } = setUp();
    await running(async () => {
      await system.advance(10);
      pull.wakeIn(40);
      await system.advance(100);
    });
    assert.deepEqual(
      asked.map(({ atMs }) => atMs),
      [0, 50],
    );
  });

  it('asks for nothing while no slot is free', async () => {
    let free = () => {};
    const slotFree = () =>
      new Promise<void>((resolve) => {
        free = resolve;
      });
    const { system, asked, askedMissed, pull } = setUp({ slotFree });
    const stopping = new AbortController();
    const run = pull.run(stopping.signal);
    await system.advance(5_000);
    assert.deepEqual([asked.length, askedMissed.length], [0, 0]);
    stopping.abort();
    free();
    void run.catch(() => {});
  });

  it('goes on when the database did not answer, and says so', async () => {
    const { world, system, asked, log, running } = setUp();
    world.due = async () => {
      if (asked.length === 1) throw new Error('the database is away');
      return [];
    };
    await running(() => system.advance(600));
    assert.equal(asked.length, 3);
    assert.deepEqual(log.lines, ['warn: due work could not be read or claimed; tries follow until it can']);
  });

  it('does not bury the log while the database is away, and keeps trying', async () => {
    const { world, system, asked, log, running } = setUp();
    world.due = async () => {
      throw new Error('the database is away');
    };
    await running(() => system.advance(60_000));
    assert.ok(asked.length > 200, `${asked.length} tries in a minute`);
    assert.ok(log.lines.length >= 6 && log.lines.length <= 7, `${log.lines.length} lines in a minute`);
  });

  it('ends when it is stopped, without a word about what was refused then', async () => {
    const { world, system, log, running } = setUp();
    let refuse: (error: Error) => void = () => {};
    world.due = async () => [dueAs('a')];
    world.take = () =>
      new Promise((_, reject) => {
        refuse = reject;
      });
    await running(async () => {
      await system.calm();
      queueMicrotask(() => refuse(new Error('stopping')));
    });
    assert.deepEqual(log.lines, []);
  });
});
