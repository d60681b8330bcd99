// Commits as they overlap, which a broker that answers in a millisecond hardly ever shows.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Consumer } from '@platformatic/kafka';
import { createCommitter } from '../../src/io/buses/kafka-commit.ts';
import { createLanes } from '../../src/io/buses/kafka-lanes.ts';
import { silentLog as log } from '../support/silent-log.ts';
import { createVirtualSystem } from '../support/virtual-system.ts';

type Offsets = { readonly offsets: readonly { readonly offset: bigint }[] };

function setUp() {
  const system = createVirtualSystem();
  const calls: { readonly offsets: readonly number[]; readonly answer: () => void }[] = [];
  const consumer = {
    assignments: [{ topic: 'orders', partitions: [0] }],
    commit: ({ offsets }: Offsets) =>
      new Promise<void>((resolve) => {
        calls.push({ offsets: offsets.map(({ offset }) => Number(offset)), answer: resolve });
      }),
  } as unknown as Consumer;
  const lanes = createLanes({ receive: async () => {}, onMoved: () => {}, onDropped: () => {}, system, log });
  const take = async (offset: number) => {
    lanes.accept({ topic: 'orders', partition: 0, offset: BigInt(offset), leaderEpoch: 0, body: Buffer.from('x') });
    await system.calm();
  };
  const endSession = () => assert.fail('the session goes on');
  const committer = createCommitter({
    consumer,
    lanes,
    group: 'payment',
    isOutage: () => false,
    endSession,
    system,
    log,
  });
  return { system, committer, calls, take };
}

describe('commits to Kafka', { timeout: 20_000 }, () => {
  it('take along at the end what was taken while one was under way, one after the other', async () => {
    const { system, committer, calls, take } = setUp();
    await take(4);
    void committer.now();
    await system.calm();
    await take(5);
    let ended = false;
    const last = committer.now().then(() => {
      ended = true;
    });
    await system.calm();
    assert.deepEqual(
      calls.map(({ offsets }) => offsets),
      [[5]],
    );
    calls[0]?.answer();
    await system.calm();
    assert.deepEqual(calls[1]?.offsets, [6]);
    assert.equal(ended, false);
    calls[1]?.answer();
    await last;
  });
});
