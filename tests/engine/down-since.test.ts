import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createDownSince } from '../../src/engine/down-since.ts';
import { silentLog } from '../support/silent-log.ts';
import { createVirtualSystem } from '../support/virtual-system.ts';

async function setUp() {
  const system = createVirtualSystem();
  const told: string[] = [];
  const world = { isAway: false };
  const tell = (what: string) => async (name: string) => {
    if (world.isAway) throw new Error('the database is away');
    told.push(`${name} ${what}`);
  };
  const dependencies = { down: tell('down'), up: tell('up') };
  const down = createDownSince({ dependency: 'payments', dependencies, system, log: silentLog });
  const stopping = new AbortController();
  const run = down.run(stopping.signal);
  await system.calm();
  const end = async () => {
    stopping.abort();
    await system.advance(5_000);
    await run;
    return told;
  };
  return { system, down, world, end };
}

describe('what the database is told of a dependency', { timeout: 20_000 }, () => {
  it('is each change once, however often it is seen', async () => {
    const { system, down, end } = await setUp();
    for (const change of [down.isDown, down.isDown, down.isUp, down.isUp, down.isUp, down.isDown]) {
      change();
      await system.calm();
    }
    assert.deepEqual(await end(), ['payments down', 'payments up', 'payments down']);
  });

  it('is the first success too, for a process that died may have left it down', async () => {
    const { system, down, end } = await setUp();
    down.isUp();
    await system.calm();
    assert.deepEqual(await end(), ['payments up']);
  });

  it('is told when the database is back, and an outage that is over by then is not told', async () => {
    const { system, down, world, end } = await setUp();
    world.isAway = true;
    down.isDown();
    await system.advance(10_000);
    down.isUp();
    await system.calm();
    world.isAway = false;
    await system.advance(5_000);
    assert.deepEqual(await end(), ['payments up']);
  });

  it('begins a second outage anew, also where the end of the first could not be told', async () => {
    const { system, down, world, end } = await setUp();
    down.isDown();
    await system.calm();
    world.isAway = true;
    down.isUp();
    down.isDown();
    await system.advance(3_000);
    world.isAway = false;
    await system.advance(5_000);
    assert.deepEqual(await end(), ['payments down', 'payments up', 'payments down']);
  });
});
