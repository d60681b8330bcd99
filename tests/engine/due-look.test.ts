import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createDueLook } from '../../src/engine/due-look.ts';
import { createMemoryLog } from '../support/silent-log.ts';
import { createVirtualSystem } from '../support/virtual-system.ts';

function setUp() {
  const system = createVirtualSystem();
  const log = createMemoryLog();
  const looks: { atMs: number; consumers: readonly string[] }[] = [];
  const woken: string[] = [];
  const world = { findDue: async (): Promise<readonly string[]> => [] };
  const look = createDueLook({
    jobs: {
      findDue: (steps) => {
        looks.push({ atMs: system.monotonicMs(), consumers: steps.map(({ consumer }) => consumer) });
        return world.findDue();
      },
    },
    consumers: ['payment', 'fulfillment'].map((consumer) => ({
      step: { consumer, types: [] },
      poller: { wake: () => woken.push(consumer) },
    })),
    system,
    log,
  });
  const running = async (during: () => Promise<void>) => {
    const stopping = new AbortController();
    const run = look.run(stopping.signal);
    await during();
    stopping.abort();
    await system.advance(1_000);
    await run;
  };
  return { system, log, looks, woken, world, running };
}

describe('the look for due jobs', { timeout: 20_000 }, () => {
  it('asks once for all consumers, every quarter of a second, and wakes those that have one', async () => {
    const { system, looks, woken, world, running } = setUp();
    await running(async () => {
      await system.advance(600);
      assert.deepEqual(woken, []);
      world.findDue = async () => ['fulfillment'];
      await system.advance(250);
    });
    assert.deepEqual(woken, ['fulfillment']);
    const consumers = ['payment', 'fulfillment'];
    assert.deepEqual(
      looks,
      [250, 500, 750].map((atMs) => ({ atMs, consumers })),
    );
  });

  it('goes on when the database did not answer, and says so when it begins and when it is over', async () => {
    const { system, log, woken, world, running } = setUp();
    world.findDue = async () => {
      throw new Error('the database is away');
    };
    await running(async () => {
      await system.advance(2_000);
      world.findDue = async () => ['payment'];
      await system.advance(250);
    });
    assert.deepEqual(woken, ['payment']);
    assert.deepEqual(log.lines, [
      'warn: looking for due jobs fails: the database is away; it is tried again',
      'info: looking for due jobs works again after 2 s',
    ]);
  });
});
