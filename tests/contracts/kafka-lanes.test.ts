import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createLanes } from '../../src/io/buses/kafka-lanes.ts';
import { createMemoryLog } from '../support/silent-log.ts';
import { createVirtualSystem } from '../support/virtual-system.ts';

type Call = { readonly texts: readonly string[]; readonly settle: (error?: Error) => Promise<void> };

function setUp() {
  const system = createVirtualSystem({ random: () => 1 });
  const log = createMemoryLog();
  const calls: Call[] = [];
  let drops = 0;
  const lanes = createLanes({
    receive: (batch) =>
      new Promise((resolve, reject) => {
        const settle = async (error?: Error) => {
          if (error === undefined) resolve();
          else reject(error);
          await system.calm();
        };
        calls.push({ texts: batch.map(({ body }) => body.toString()), settle });
      }),
    onMoved: () => {},
    onDropped: () => {
      drops += 1;
    },
    system,
    log,
  });
  const bring = (partition: number, ...offsets: readonly number[]) => {
    for (const offset of offsets) {
      const body = Buffer.from(`${partition}:${offset}`);
      lanes.accept({ topic: 'orders', partition, offset: BigInt(offset), leaderEpoch: 0, body });
    }
  };
  const positions = () =>
    Object.fromEntries(lanes.takePositions().map(({ partition, offset }) => [partition, Number(offset)]));
  return { system, log, calls, lanes, bring, positions, drops: () => drops };
}

const numbers = (count: number, from = 0) => Array.from({ length: count }, (_, index) => from + index);
const refusal = new Error('the database did not answer');
const never = new AbortController().signal;

describe('the lanes of a member on Kafka', { timeout: 20_000 }, () => {
  it('move a position only behind what was taken', async () => {
    const { calls, bring, positions, system } = setUp();
    bring(0, 5, 6, 7);
    bring(1, 40);
    assert.deepEqual(positions(), {});
    await calls[1]?.settle();
    assert.deepEqual(positions(), { 1: 41 });
    await calls[0]?.settle();
    await system.calm();
    assert.deepEqual(positions(), { 0: 6 });
    assert.deepEqual(calls[2]?.texts, ['0:6', '0:7']);
  });

  it('hand over one batch of a partition at a time, and those of others beside it', () => {
    const { calls, bring } = setUp();
    bring(0, 1, 2, 3);
    bring(1, 1);
    assert.deepEqual(
      calls.map(({ texts }) => texts),
      [['0:1'], ['1:1']],
    );
  });

  it('bring a refused batch again before its successors, after a pause, and move nothing before', async () => {
    const { calls, bring, positions, system, log } = setUp();
    bring(0, 1, 2);
    await calls[0]?.settle(refusal);
    bring(1, 9);
    assert.deepEqual(calls[1]?.texts, ['1:9'], 'the other partition goes on');
    assert.equal(calls.length, 2, 'no try without a pause');
    await calls[1]?.settle();
    await system.advance(1_000);
    assert.deepEqual(calls[2]?.texts, ['0:1']);
    await calls[2]?.settle(refusal);
    await system.advance(10_000);
    await calls[3]?.settle();
    assert.deepEqual(calls[4]?.texts, ['0:2']);
    assert.deepEqual(positions(), { 0: 2, 1: 10 });
    assert.equal(log.lines.length, 1, 'one warning, however often it was refused');
  });

  it('skip what comes twice, and commit anew what somebody else had set back', async () => {
    const { calls, bring, positions } = setUp();
    bring(0, 1);
    bring(0, 2, 3);
    await calls[0]?.settle();
    await calls[1]?.settle();
    assert.deepEqual(positions(), { 0: 4 });
    bring(0, 2, 3);
    assert.equal(calls.length, 2);
    assert.deepEqual(positions(), { 0: 4 });
    bring(0, 4);
    assert.deepEqual(calls[2]?.texts, ['0:4']);
  });

  it('pass over messages that the group does not read', async () => {
    const { calls, lanes, bring, positions, system } = setUp();
    bring(0, 1);
    lanes.accept({ topic: 'orders', partition: 0, offset: 2n, leaderEpoch: 0, body: null });
    await calls[0]?.settle();
    await system.calm();
    assert.deepEqual(positions(), { 0: 3 });
    assert.equal(calls.length, 1);
  });

  it('have no room for more when a slow reader holds enough, and find it again', async () => {
    const { calls, lanes, bring, system } = setUp();
    bring(0, ...numbers(2_048));
    let hasRoom = false;
    const waiting = lanes.room(never).then(() => {
      hasRoom = true;
    });
    await system.calm();
    assert.equal(hasRoom, false);
    await calls[0]?.settle();
    await waiting;
  });

  it('hold few bytes of large messages', async () => {
    const { lanes, system } = setUp();
    const body = Buffer.alloc(65_536);
    for (const offset of numbers(128)) {
      lanes.accept({ topic: 'orders', partition: 0, offset: BigInt(offset), leaderEpoch: 0, body });
    }
    let hasRoom = false;
    void lanes.room(never).then(() => {
      hasRoom = true;
    });
    await system.calm();
    assert.equal(hasRoom, false);
  });

  it('keep reading for the others when one partition is refused for long, and read it anew when it passes', async () => {
    const { calls, lanes, bring, positions, system, drops } = setUp();
    bring(0, 0);
    await calls[0]?.settle(refusal);
    bring(0, ...numbers(3_000, 1));
    await lanes.room(never);
    bring(1, 7);
    assert.deepEqual(calls.at(-1)?.texts, ['1:7']);
    await system.advance(10_000);
    assert.deepEqual(calls.at(-1)?.texts, ['0:0']);
    await calls.at(-1)?.settle();
    assert.equal(drops(), 1);
    assert.equal(positions()[0], 1, 'nothing that was dropped is committed');
  });

  it('stop reading when so many are refused that the cause is not in the messages', async () => {
    const { calls, lanes, bring, system } = setUp();
    for (const partition of numbers(4)) {
      bring(partition, 0);
      await calls.at(-1)?.settle(refusal);
    }
    for (const partition of numbers(4)) bring(partition, ...numbers(3_000, 1));
    let hasRoom = false;
    void lanes.room(never).then(() => {
      hasRoom = true;
    });
    await system.calm();
    assert.equal(hasRoom, false);
  });

  it('count nothing that was under way in a session that ended', async () => {
    const { calls, lanes, bring, positions, system } = setUp();
    bring(0, 800);
    lanes.reset();
    // The topic was deleted and created anew: its places begin again.
    bring(0, 0);
    await calls[0]?.settle();
    await system.calm();
    assert.deepEqual(positions(), {});
    await calls[1]?.settle();
    assert.deepEqual(positions(), { 0: 1 });
  });

  it('have a bounded number of batches under way, over all sessions', async () => {
    const { calls, lanes, bring } = setUp();
    for (const session of numbers(3)) {
      lanes.reset();
      for (const partition of numbers(10)) bring(partition, session);
    }
    assert.equal(calls.length, 8);
    await calls[0]?.settle();
    assert.equal(calls.length, 9);
    assert.match(calls[8]?.texts[0] ?? '', /:2$/, 'of the session that runs');
  });

  it('hand nothing over once they are stopped, and are stopped when nothing runs', async () => {
    const { calls, lanes, bring, positions, system } = setUp();
    bring(0, 1, 2);
    let stopped = false;
    const stopping = lanes.stop().then(() => {
      stopped = true;
    });
    await system.calm();
    assert.equal(stopped, false);
    await calls[0]?.settle();
    await stopping;
    bring(1, 1);
    assert.equal(calls.length, 1);
    assert.deepEqual(positions(), { 0: 2 }, 'what was taken meanwhile can still be committed');
  });
});
