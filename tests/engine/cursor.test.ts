import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { createCursorReader, unknownPatienceMs } from '../../src/engine/cursor.ts';
import { createLeasedTurns, createLockedTurns } from '../../src/engine/cursor-turns.ts';
import type { LoggedEvent, Refused, Snapshot, Span } from '../../src/engine/event-log.ts';
import { createGapMemory, pass, within, without } from '../../src/engine/gaps.ts';
import { createEventLog, eventAt } from '../support/event-log.ts';
import { createMemoryLog } from '../support/silent-log.ts';
import { createVirtualSystem } from '../support/virtual-system.ts';

const spans = (...given: readonly (readonly [number, number])[]): Span[] => given.map(([from, to]) => ({ from, to }));
const snapshotOf = (xmin: number, ...positions: number[]): Snapshot => ({
  xmin: BigInt(xmin),
  events: positions.map((position) => {
    const { position: _, ...event } = eventAt(position, 'a', position);
    return { position, ageMs: 0, event };
  }),
});

describe('spans of positions', () => {
  const positions = fc.uniqueArray(fc.integer({ min: 1, max: 40 }), { maxLength: 25 });
  const toSpans = (some: readonly number[]): readonly Span[] =>
    pass(
      { readTo: 0, gaps: [] },
      [...Array(41).keys()].slice(1).filter((one) => !some.includes(one)),
    ).gaps;
  const toSet = (some: readonly Span[]) =>
    new Set(some.flatMap(({ from, to }) => Array.from({ length: to - from + 1 }, (_, nth) => from + nth)));

  it('are subtracted and intersected as the sets that they stand for', () => {
    fc.assert(
      fc.property(positions, positions, (one, other) => {
        const [left, right] = [toSpans(one), toSpans(other)];
        assert.deepEqual(toSet(without(left, right)), toSet(left).difference(toSet(right)));
        assert.deepEqual(toSet(within(left, right)), toSet(left).intersection(toSet(right)));
      }),
    );
  });

  it('become one where they touch, as the database writes them', () => {
    assert.deepEqual(pass({ readTo: 3, gaps: spans([3, 3]) }, [6]), { readTo: 6, gaps: spans([3, 5]) });
  });
});

describe('the memory of gaps', () => {
  it('keeps what lies between what was read', () => {
    const { advance } = createGapMemory();
    assert.deepEqual(advance({ readTo: 2, gaps: [] }, snapshotOf(9, 4, 7), 2, true), {
      readTo: 7,
      gaps: spans([3, 3], [5, 6]),
    });
  });

  it('forgets a gap when a later read finds nothing there and nothing open that could own it', () => {
    const { advance, stamp, hasUnstamped } = createGapMemory();
    const found = advance({ readTo: 0, gaps: [] }, snapshotOf(50, 2), 1, true);
    assert.ok(hasUnstamped());
    assert.deepEqual(advance(found, snapshotOf(99), 0, true).gaps, spans([1, 1]), 'its age is not known yet');
    stamp(60n);
    assert.deepEqual(advance(found, snapshotOf(59), 0, true).gaps, spans([1, 1]), 'its owner may still be open');
    assert.deepEqual(advance(found, snapshotOf(60), 0, true).gaps, []);
  });

  it('never forgets by a read that was cut, which may not have come to it', () => {
    const { advance, stamp } = createGapMemory();
    const found = advance({ readTo: 0, gaps: [] }, snapshotOf(50, 2, 4), 2, true);
    stamp(60n);
    const cut = advance(found, snapshotOf(70, 1), 1, false);
    assert.deepEqual(cut.gaps, spans([3, 3]));
    assert.deepEqual(advance(cut, snapshotOf(70), 0, true).gaps, []);
  });

  it('gives an age to each gap from after the read that found it, and to none before', () => {
    const { advance, stamp } = createGapMemory();
    const first = advance({ readTo: 0, gaps: [] }, snapshotOf(50, 2), 1, true);
    stamp(60n);
    const both = advance(first, snapshotOf(55, 4), 1, true);
    stamp(80n);
    const one = advance(both, snapshotOf(60), 0, true);
    assert.deepEqual(one.gaps, spans([3, 3]), 'the second one is younger');
    assert.deepEqual(advance(one, snapshotOf(80), 0, true).gaps, []);
  });

  it('takes the parts of a gap apart when one of them appears', () => {
    const { advance, stamp } = createGapMemory();
    const found = advance({ readTo: 0, gaps: [] }, snapshotOf(50, 5), 1, true);
    stamp(60n);
    const part = advance(found, snapshotOf(55, 2), 1, true);
    assert.deepEqual(part.gaps, spans([1, 1], [3, 4]));
    assert.deepEqual(advance(part, snapshotOf(60), 0, true).gaps, []);
  });
});

// A reader over a log in memory, of either kind. `given` are the events of each batch, by position.
function setUp(kind: 'leased' | 'locked', options: { knows?: (type: string) => boolean; batchMax?: number } = {}) {
  const system = createVirtualSystem();
  const complaints = createMemoryLog();
  const log = createEventLog(system);
  const given: string[] = [];
  const world = {
    poisonous: new Set<number>(),
    refused: new Set<number>(),
    fails: null as Error | null,
  };
  const handle = async (events: readonly LoggedEvent[]): Promise<Refused[]> => {
    const positions = events.map((one) => one.position);
    if (world.fails !== null) throw world.fails;
    if (positions.some((one) => world.poisonous.has(one))) throw new RangeError('a poisonous event');
    given.push(positions.join(' '));
    const trouble = {
      class: 'non-retryable',
      code: 'refused',
      message: 'not this one',
      dependencyDown: false,
    } as const;
    return positions.filter((one) => world.refused.has(one)).map((position) => ({ position, trouble }));
  };
  const turns =
    kind === 'leased'
      ? createLeasedTurns({ reader: 'r', cursors: log.cursors, leaseMs: 9_000, storeEveryMs: 0, handle, system })
      : createLockedTurns({ reader: 'r', cursors: log.cursors, handle: (_, events) => handle(events) });
  const newReader = () =>
    createCursorReader({
      ...{ consumer: 'someone', turns, batchMax: options.batchMax ?? 10, pollMs: 100, system, log: complaints },
      ...(options.knows === undefined ? {} : { knows: options.knows }),
      isPoison: (error) => error instanceof RangeError,
    });
  const events = (...positions: number[]) =>
    log.commit(...positions.map((position) => eventAt(position, 'a', position)));
  const parked = () =>
    log.deadLetters.map(({ consumer, event, trouble }) => `${consumer} ${event.version} ${trouble.code}`);
  return { system, log, world, given, parked, reader: newReader(), events, complaints };
}

for (const kind of ['leased', 'locked'] as const) {
  describe(`a reader with a ${kind} cursor`, { timeout: 20_000 }, () => {
    it('is given each event once, in the order of positions, in bounded batches', async () => {
      const { reader, events, given, log } = setUp(kind, { batchMax: 3 });
      events(1, 2, 3, 4, 5);
      while ((await reader.runOnce()) > 0);
      assert.deepEqual(given, ['1 2 3', '4 5']);
      assert.deepEqual(log.state(), { readTo: 5, gaps: [] });
    });

    it('reads what is committed late, and forgets what was rolled back', async () => {
      const { reader, events, given, log } = setUp(kind);
      const late = log.begin();
      events(3);
      await reader.runOnce();
      events(4);
      await reader.runOnce();
      assert.deepEqual(log.state(), { readTo: 4, gaps: spans([1, 2]) });
      events(2, 5);
      late.end();
      await reader.runOnce();
      assert.deepEqual(given, ['3', '4', '2 5']);
      events(6);
      await reader.runOnce();
      events(7);
      await reader.runOnce();
      assert.deepEqual(log.state(), { readTo: 7, gaps: [] });
    });

    it('comes back for what a read that was cut has not shown', async () => {
      const { reader, events, given, log } = setUp(kind, { batchMax: 2 });
      const late = log.begin();
      for (const position of [6, 7, 8]) {
        events(position);
        await reader.runOnce();
      }
      events(1, 2, 3, 4, 5);
      late.end();
      while ((await reader.runOnce()) > 0);
      assert.deepEqual(given, ['6', '7', '8', '1 2', '3 4', '5']);
      assert.deepEqual(log.state(), { readTo: 8, gaps: [] });
    });

    it('reads on while a stranger keeps a transaction open', async () => {
      const { reader, events, given, log } = setUp(kind);
      log.begin();
      for (const position of [2, 4, 6]) {
        events(position);
        await reader.runOnce();
      }
      assert.deepEqual(given, ['2', '4', '6']);
      assert.deepEqual(log.state(), { readTo: 6, gaps: spans([1, 1], [3, 3], [5, 5]) });
    });

    it('stays where it is when handling fails, and parks nothing', async () => {
      const { reader, events, given, log, world, parked } = setUp(kind);
      events(1, 2);
      world.fails = new Error('permission denied');
      for (let tries = 0; tries < 5; tries += 1) await assert.rejects(reader.runOnce(), /permission denied/);
      assert.deepEqual(log.state(), { readTo: 0, gaps: [] });
      world.fails = null;
      assert.equal(await reader.runOnce(), 2);
      assert.deepEqual([given, parked()], [['1 2'], []]);
    });

    it('finds the poisonous event of a batch by halving, parks it alone, and goes on', async () => {
      const { reader, events, given, log, world, parked } = setUp(kind);
      events(1, 2, 3, 4, 5, 6, 7);
      world.poisonous.add(5);
      while ((await reader.runOnce()) > 0);
      assert.deepEqual(given.join(' '), '1 2 3 4 6 7');
      assert.deepEqual(parked(), ['someone 5 defect']);
      assert.deepEqual(log.state(), { readTo: 7, gaps: [] });
    });

    it('parks events that are refused for their own sake, with the cursor', async () => {
      const { reader, events, log, world, parked } = setUp(kind);
      events(1, 2, 3);
      world.refused.add(2);
      await reader.runOnce();
      assert.deepEqual(parked(), ['someone 2 refused']);
      assert.deepEqual(log.state(), { readTo: 3, gaps: [] });
    });

    it('stops before the third event in a row that fails, and says so: that is a defect', async () => {
      const { reader, events, log, world, parked, complaints } = setUp(kind);
      events(1, 2, 3, 4, 5);
      for (const position of [1, 2, 3, 4, 5]) world.poisonous.add(position);
      // Ends by itself.
      await reader.run(new AbortController().signal);
      assert.deepEqual(parked(), ['someone 1 defect', 'someone 2 defect']);
      assert.equal(log.state().readTo, 2);
      assert.match(complaints.lines.at(-1) ?? '', /error: .*a defect of this release/);
    });

    it('does not take poison for a defect where other events can be handled in between', async () => {
      const { reader, events, world, parked } = setUp(kind);
      events(1, 2, 3, 4, 5, 6, 7, 8);
      for (const position of [2, 4, 6, 8]) world.poisonous.add(position);
      while ((await reader.runOnce()) > 0);
      assert.deepEqual(
        parked(),
        [2, 4, 6, 8].map((version) => `someone ${version} defect`),
      );
    });

    it('stops before an event that it does not know, and has handled what lies before', async () => {
      const { reader, events, given, log, parked } = setUp(kind, { knows: (type) => type === 'OrderCreatedV1' });
      events(1, 2, 4);
      log.commit({ ...eventAt(3, 'a', 3), type: 'OrderCreatedV2' });
      assert.equal(await reader.runOnce(), 2);
      assert.equal(await reader.runOnce(), 0);
      assert.deepEqual([given, parked()], [['1 2'], []]);
      assert.deepEqual(log.state(), { readTo: 2, gaps: [] });
    });

    it('parks an event that nobody knew for an hour', async () => {
      const { reader, events, given, log, parked } = setUp(kind, { knows: (type) => type === 'OrderCreatedV1' });
      log.commit({ ...eventAt(1, 'a', 1), type: 'OrderCreatedV2', ageMs: unknownPatienceMs + 1 });
      events(2);
      while ((await reader.runOnce()) > 0);
      assert.deepEqual([given, parked()], [['2'], ['someone 1 unknown-version']]);
    });

    it('is given an event again that a person sent back', async () => {
      const { reader, events, given, log, system } = setUp(kind);
      events(1, 2, 3);
      await reader.runOnce();
      log.reopen(2);
      // A lease is renewed by then, and the row looked at.
      await system.advance(4_000);
      events(4);
      while ((await reader.runOnce()) > 0);
      assert.equal(given[0], '1 2 3');
      assert.match(given.join(), /,2/);
      assert.deepEqual(log.state(), { readTo: 4, gaps: [] });
    });
  });
}

describe('a reader that meets the outside', { timeout: 20_000 }, () => {
  it('whose row was moved by somebody else writes nothing over it, and reads it anew', async () => {
    const { reader, events, log } = setUp('leased');
    events(1, 2, 3);
    await reader.runOnce();
    log.reopen(1);
    events(4);
    await reader.runOnce();
    assert.deepEqual(log.state(), { readTo: 3, gaps: spans([1, 1]) }, 'the store has missed');
    while ((await reader.runOnce()) > 0);
    assert.deepEqual(log.state(), { readTo: 4, gaps: [] });
  });

  it('gives up its turn before an event that it does not know', async () => {
    const { reader, log, system } = setUp('leased', { knows: () => false });
    log.commit(eventAt(1, 'a', 1));
    const stopping = new AbortController();
    const running = reader.run(stopping.signal);
    await system.advance(100);
    assert.equal(log.story.at(-1), 'release');
    const before = log.story.length;
    await system.advance(4_000);
    assert.equal(log.story.length, before, 'others have their turn');
    stopping.abort();
    await running;
  });
});

describe('a reader in one transaction', { timeout: 20_000 }, () => {
  it('takes no lock while there is nothing to read', async () => {
    const { reader, events, log } = setUp('locked');
    events(1);
    await reader.runOnce();
    let locks = 0;
    const { locked } = log.cursors;
    log.cursors.locked = (name, work) => {
      locks += 1;
      return locked(name, work);
    };
    for (let round = 0; round < 5; round += 1) await reader.runOnce();
    assert.equal(locks, 0);
    events(2);
    await reader.runOnce();
    assert.equal(locks, 1);
  });

  it('steps aside while another one has the row', async () => {
    const { reader, events, log, given } = setUp('locked');
    events(1);
    await log.cursors.locked('r', async () => {
      assert.equal(await reader.runOnce(), 0);
    });
    assert.equal(await reader.runOnce(), 1);
    assert.deepEqual(given, ['1']);
  });
});
