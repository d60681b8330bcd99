import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createGroupCommit, type FlushFailure } from '../../src/engine/group-commit.ts';
import { RefusedError, UnavailableError } from '../../src/engine/ports.ts';
import { createVirtualSystem } from '../support/virtual-system.ts';

class Failed extends Error {
  readonly failure: FlushFailure;
  constructor(failure: FlushFailure) {
    super(`the flush failed: ${failure}`);
    this.failure = failure;
  }
}

// `flush` says what becomes of a batch; every batch is kept, with the time it left at.
function setUp(
  flush: (entries: readonly string[], nth: number) => Promise<readonly string[]> | readonly string[],
  limits: {
    readonly maxRows?: number;
    readonly capacity?: number;
    readonly patienceMs?: number;
    readonly turn?: () => Promise<void>;
    readonly twins?: NonNullable<Parameters<typeof createGroupCommit<string, string>>[0]['twins']>;
  } = {},
) {
  const system = createVirtualSystem();
  const batches: string[][] = [];
  const times: number[] = [];
  const commit = createGroupCommit<string, string>({
    flush: async (entries) => {
      batches.push([...entries]);
      times.push(system.monotonicMs());
      return flush(entries, batches.length);
    },
    failureOf: (error) => (error instanceof Failed ? error.failure : 'bug'),
    system,
    maxRows: limits.maxRows ?? 100,
    capacity: limits.capacity ?? 100,
    patienceMs: limits.patienceMs ?? 1_000,
    ...(limits.turn === undefined ? {} : { turn: limits.turn }),
    ...(limits.twins === undefined ? {} : { twins: limits.twins }),
  });
  return { system, batches, times, commit };
}

const echo = (entries: readonly string[]) => entries.map((entry) => `${entry}!`);
// What became of each call, in words.
const endOf = (call: Promise<string>) =>
  call.catch((error) => (error instanceof UnavailableError ? `unavailable: ${error.stored}` : String(error.message)));
function door() {
  let open = () => {};
  const passed = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { open: () => open(), passed };
}

describe('group commit', { timeout: 20_000 }, () => {
  it('sends all callers of one moment together, each with its own answer', async () => {
    const { commit, batches } = setUp(echo);
    assert.deepEqual(await Promise.all(['a', 'b', 'c'].map(commit.add)), ['a!', 'b!', 'c!']);
    assert.deepEqual(batches, [['a', 'b', 'c']]);
  });

  it('leaves at once and without a timer when nothing is under way', async () => {
    const { commit, system } = setUp(echo);
    await commit.add('a');
    assert.equal(system.monotonicMs(), 0);
    assert.equal(system.timers(), 0);
  });

  it('runs one flush at a time and collects the next callers meanwhile', async () => {
    const first = door();
    const { commit, batches, system } = setUp(async (entries) => {
      if (entries.includes('a')) await first.passed;
      return echo(entries);
    });
    const ends = [commit.add('a')];
    await system.calm();
    ends.push(commit.add('b'));
    await system.calm();
    ends.push(commit.add('c'));
    await system.calm();
    assert.deepEqual(batches, [['a']]);
    assert.equal(commit.pending(), 3);
    first.open();
    assert.deepEqual(await Promise.all(ends), ['a!', 'b!', 'c!']);
    assert.deepEqual(batches, [['a'], ['b', 'c']]);
  });

  it('sends no flush before its turn, and takes along whoever came meanwhile', async () => {
    const turn = door();
    const { commit, batches, system } = setUp(echo, { turn: () => turn.passed });
    const ends = [commit.add('a')];
    await system.calm();
    ends.push(commit.add('b'));
    await system.calm();
    assert.deepEqual(batches, []);
    turn.open();
    assert.deepEqual(await Promise.all(ends), ['a!', 'b!']);
    assert.deepEqual(batches, [['a', 'b']]);
  });

  it('answers nobody before the flush has ended', async () => {
    const gate = door();
    const { commit, system } = setUp(async (entries) => {
      await gate.passed;
      return echo(entries);
    });
    let answered = false;
    const call = commit.add('a').finally(() => {
      answered = true;
    });
    await system.advance(500);
    assert.equal(answered, false);
    gate.open();
    await call;
  });

  it('sends no more rows at once than it may', async () => {
    const { commit, batches } = setUp(echo, { maxRows: 2 });
    await Promise.all(['a', 'b', 'c', 'd', 'e'].map(commit.add));
    assert.deepEqual(batches, [['a', 'b'], ['c', 'd'], ['e']]);
  });

  it('splits a batch with bad entries until only they fail', async () => {
    const { commit, batches } = setUp((entries) => {
      if (entries.some((entry) => entry.startsWith('bad'))) throw new Failed('data');
      return echo(entries);
    });
    const names = ['a', 'b', 'bad 1', 'c', 'd', 'e', 'bad 2', 'f', 'g'];
    const ends = await Promise.all(names.map((name) => endOf(commit.add(name))));
    assert.deepEqual(
      ends,
      names.map((name) => (name.startsWith('bad') ? 'the flush failed: data' : `${name}!`)),
    );
    assert.deepEqual(batches[0], names);
    await assert.rejects(commit.add('bad 3'), RefusedError);
  });

  it('runs a deadlock or a serialization failure again, whole and with the identical entries', async () => {
    const { commit, batches, system } = setUp((entries, nth) => {
      if (nth <= 2) throw new Failed('again');
      return echo(entries);
    });
    const ends = ['a', 'b', 'c'].map(commit.add);
    await system.advance(1_000);
    assert.deepEqual(await Promise.all(ends), ['a!', 'b!', 'c!']);
    assert.deepEqual(batches, [
      ['a', 'b', 'c'],
      ['a', 'b', 'c'],
      ['a', 'b', 'c'],
    ]);
  });

  it('runs the identical entries again after a lost connection and answers once', async () => {
    const { commit, batches, system } = setUp((entries, nth) => {
      if (nth === 1) throw new Failed('lost');
      return entries.map((entry) => `${entry} of flush ${nth}`);
    });
    const ends = ['a', 'b'].map(commit.add);
    await system.advance(1_000);
    assert.deepEqual(await Promise.all(ends), ['a of flush 2', 'b of flush 2']);
    assert.deepEqual(batches, [
      ['a', 'b'],
      ['a', 'b'],
    ]);
    assert.equal(system.timers(), 0);
  });

  it('pauses longer from try to try, with jitter and a cap', async () => {
    const { commit, times, system } = setUp(
      () => {
        throw new Failed('absent');
      },
      { patienceMs: 8_000 },
    );
    const end = endOf(commit.add('a'));
    await system.advance(20_000);
    await end;
    const pauses = times.slice(1).map((time, index) => time - (times[index] ?? 0));
    // Three quarters, for the chance of this system is always one half.
    assert.deepEqual(pauses.slice(0, 8), [15, 30, 60, 120, 240, 480, 750, 750]);
  });

  it('puts a locked entry into a later flush and lets the others through', async () => {
    let isLocked = true;
    const { commit, batches, system } = setUp((entries) =>
      entries.map((entry) => (entry === 'locked' && isLocked ? 'locked' : `${entry}!`)),
    );
    const stalled = commit.add('locked');
    assert.deepEqual(await Promise.all(['a', 'b'].map(commit.add)), ['a!', 'b!']);
    await system.advance(7);
    assert.equal(await commit.add('c'), 'c!');
    isLocked = false;
    await system.advance(10);
    assert.equal(await stalled, 'locked!');
    assert.deepEqual(batches[0], ['locked', 'a', 'b']);
    assert.ok(
      batches.slice(1, -1).every((batch) => !batch.includes('a') && !batch.includes('b')),
      'who was answered is not sent again',
    );
  });

  it('refuses at once what does not fit into its queue, with nothing stored', async () => {
    const gate = door();
    const { commit, system } = setUp(
      async (entries) => {
        await gate.passed;
        return echo(entries);
      },
      { capacity: 2 },
    );
    const taken = [commit.add('under way')];
    await system.calm();
    taken.push(commit.add('a'), commit.add('b'));
    assert.equal(await endOf(commit.add('c')), 'unavailable: nothing');
    gate.open();
    assert.deepEqual(await Promise.all(taken), ['under way!', 'a!', 'b!']);
    assert.equal(await commit.add('d'), 'd!');
  });

  for (const [failures, stored] of [
    [['absent'], 'nothing'],
    [['again'], 'nothing'],
    [['lost'], 'unknown'],
    [['lost', 'absent'], 'unknown'],
    [['again', 'lost', 'absent'], 'unknown'],
  ] as const) {
    it(`tells its caller in the end that ${stored} is stored when tries end ${failures.join(', ')}`, async () => {
      const { commit, system } = setUp((_, nth) => {
        throw new Failed(failures[Math.min(nth, failures.length) - 1] ?? 'bug');
      });
      const end = endOf(commit.add('a'));
      await system.advance(5_000);
      assert.equal(await end, `unavailable: ${stored}`);
    });
  }

  it('gives up a row that stays locked, with nothing stored', async () => {
    const { commit, system } = setUp((entries) => entries.map(() => 'locked'));
    const end = endOf(commit.add('a'));
    await system.advance(1_100);
    assert.equal(await end, 'unavailable: nothing');
    assert.equal(system.timers(), 0);
  });

  it('does not forget, while a row is locked, that it may be stored', async () => {
    const { commit, system } = setUp((entries, nth) => {
      if (nth === 1) throw new Failed('lost');
      return entries.map(() => 'locked');
    });
    const end = endOf(commit.add('a'));
    await system.advance(2_000);
    assert.equal(await end, 'unavailable: unknown');
  });

  it('does not forget, when a batch is split, that it may be stored', async () => {
    const { commit, system } = setUp((entries, nth) => {
      if (nth === 1) throw new Failed('lost');
      throw new Failed(entries.length > 1 ? 'data' : 'absent');
    });
    const ends = ['a', 'b'].map((name) => endOf(commit.add(name)));
    await system.advance(10_000);
    assert.deepEqual(await Promise.all(ends), ['unavailable: unknown', 'unavailable: unknown']);
  });

  it('tries everybody for as long as their own patience lasts', async () => {
    const gate = door();
    const { commit, batches, system } = setUp(async (entries, nth) => {
      if (nth === 1) await gate.passed;
      if (nth === 2) throw new Failed('absent');
      return echo(entries);
    });
    const first = commit.add('first');
    await system.advance(1);
    const old = endOf(commit.add('old'));
    await system.advance(1_001);
    const young = endOf(commit.add('young'));
    gate.open();
    await system.advance(100);
    assert.deepEqual([await first, await old, await young], ['first!', 'unavailable: nothing', 'young!']);
    assert.deepEqual(batches, [['first'], ['old', 'young'], ['young']]);
  });

  it('tells everybody in the queue as soon as their patience is over, not after as many flushes more', async () => {
    const { commit, batches, system } = setUp(
      async () => {
        await system.sleep(1_500);
        throw new Failed('lost');
      },
      { maxRows: 1 },
    );
    const ends = ['a', 'b', 'c', 'd'].map((name) => endOf(commit.add(name)));
    await system.advance(1_500);
    assert.deepEqual(await Promise.all(ends), [
      'unavailable: unknown',
      'unavailable: nothing',
      'unavailable: nothing',
      'unavailable: nothing',
    ]);
    assert.deepEqual(batches, [['a']]);
  });

  it('hands an unexpected error to the callers of that flush and goes on', async () => {
    const { commit } = setUp((entries, nth) => {
      if (nth === 1) throw new Error('a defect');
      return echo(entries);
    });
    assert.deepEqual(await Promise.all(['a', 'b'].map((name) => endOf(commit.add(name)))), ['a defect', 'a defect']);
    assert.equal(await commit.add('c'), 'c!');
  });

  it('is drained when the last entry has ended, a locked one included', async () => {
    const { commit, system } = setUp((entries, nth) => (nth === 1 ? entries.map(() => 'locked') : echo(entries)));
    await commit.drained();
    const call = commit.add('a');
    let drained = false;
    const end = commit.drained().then(() => {
      drained = true;
    });
    await system.calm();
    assert.equal(drained, false);
    await system.advance(10);
    await end;
    assert.equal(await call, 'a!');
  });
});

describe('group commit of entries that may be twins', { timeout: 20_000 }, () => {
  // `k1` and `k2` are of the key k; `-` has none.
  const twins = {
    keyOf: (entry: string) => (entry.startsWith('-') ? null : entry.slice(0, 1)),
    isHeld: (error: unknown) => error instanceof Failed && error.message.endsWith('again'),
  };

  it('says of none that nothing is stored while the outcome of another is unknown, and forgets it with an answer', async () => {
    let failure: FlushFailure | null = 'lost';
    const { commit, system } = setUp(
      (entries) => {
        if (failure !== null) throw new Failed(failure);
        return echo(entries);
      },
      { patienceMs: 100, twins },
    );
    const end = async (...entries: string[]) => {
      const ends = Promise.all(entries.map((entry) => endOf(commit.add(entry))));
      await system.advance(10_000);
      return ends;
    };
    assert.deepEqual(await end('k1'), ['unavailable: unknown']);
    failure = 'absent';
    assert.deepEqual(await end('k2', 'l1', '-1'), [
      'unavailable: unknown',
      'unavailable: nothing',
      'unavailable: nothing',
    ]);
    failure = null;
    assert.deepEqual(await end('k3'), ['k3!']);
    failure = 'absent';
    assert.deepEqual(await end('k4'), ['unavailable: nothing']);
  });

  it('says the same of one that somebody else holds', async () => {
    const { commit, system } = setUp(
      () => {
        throw new Failed('again');
      },
      { patienceMs: 100, twins },
    );
    const ends = Promise.all(['k1', '-1'].map((entry) => endOf(commit.add(entry))));
    await system.advance(10_000);
    assert.deepEqual(await ends, ['unavailable: unknown', 'unavailable: nothing']);
  });
});
