import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createBackpressure } from '../../src/engine/backpressure.ts';
import { createVirtualSystem } from '../support/virtual-system.ts';

// Takes turns for as long as `isCrowded` says; answers when they came.
function setUp(isCrowded: (nowMs: number) => boolean) {
  const system = createVirtualSystem();
  const turn = createBackpressure({ isCrowded: () => isCrowded(system.monotonicMs()), system });
  const turns: number[] = [];
  let isOver = false;
  const taking = (async () => {
    while (!isOver) {
      await turn();
      turns.push(system.monotonicMs());
      await system.sleep(1);
    }
  })();
  const end = async () => {
    isOver = true;
    await system.advance(1_000);
    await taking;
  };
  return { system, turns, end };
}

describe('work that can wait', { timeout: 20_000 }, () => {
  it('never waits while no crowd is there', async () => {
    const { system, turns, end } = setUp(() => false);
    await system.advance(100);
    assert.ok(turns.length >= 100, `${turns.length} turns in 100 ms`);
    await end();
  });

  it('stands back in a burst, and still has a turn every quarter of a second', async () => {
    const { system, turns, end } = setUp(() => true);
    await system.advance(1_000);
    assert.deepEqual(turns, [0, 251, 502, 753]);
    await end();
  });

  it('takes the moment between an answer and the next request for a part of the burst', async () => {
    const { system, turns, end } = setUp((nowMs) => nowMs % 50 < 10);
    await system.advance(500);
    assert.deepEqual(turns, [0, 251]);
    await end();
  });

  it('goes on at once when the burst is over', async () => {
    const { system, turns, end } = setUp((nowMs) => nowMs < 300);
    await system.advance(1_000);
    assert.deepEqual(turns.slice(0, 3), [0, 251, 397]);
    assert.ok(turns.length > 500, `${turns.length} turns`);
    await end();
  });

  it('stands back for some seconds at the most, then works at full speed however long the crowd stays', async () => {
    const { system, turns, end } = setUp(() => true);
    await system.advance(20_000);
    const late = turns.filter((atMs) => atMs >= 10_000);
    assert.ok(late.length > 5_000, `${late.length} turns in ten seconds`);
    await end();
  });

  it('stands back again in the next burst, after some seconds of peace', async () => {
    const { system, turns, end } = setUp((nowMs) => nowMs < 20_000 || nowMs > 35_000);
    await system.advance(36_000);
    assert.ok(turns.filter((atMs) => atMs > 35_000).length < 10);
    await end();
  });
});
