import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Check } from '../../src/io/postgres/health.ts';
import { createReadiness } from '../../src/main/readiness.ts';
import { createVirtualSystem } from '../support/virtual-system.ts';

const well: readonly Check[] = [{ name: 'database', status: 'ok', detail: 'reachable' }];

function setUp() {
  const system = createVirtualSystem();
  const world = {
    paused: [] as string[],
    isStopping: false,
    asked: 0,
    check: async (): Promise<readonly Check[]> => well,
  };
  const check = () => {
    world.asked += 1;
    return world.check();
  };
  const isReady = createReadiness({
    check,
    initial: well,
    isStopping: () => world.isStopping,
    paused: () => world.paused,
    system,
  });
  // How long the answer took, and what it was.
  const ask = async () => {
    const beganMs = system.monotonicMs();
    const answer = isReady();
    await system.advance(100);
    const { status, checks } = await answer;
    const held = checks.find(({ name }) => name === 'pauses');
    const paused = held === undefined ? {} : { paused: held.detail };
    return { status, detail: checks[0]?.detail, isAtOnce: system.monotonicMs() - beganMs <= 100, ...paused };
  };
  return { system, world, ask };
}

describe('readiness', () => {
  it('is what the database says, and no more once the process stops', async () => {
    const { world, ask } = setUp();
    assert.deepEqual(await ask(), { status: 'ok', detail: 'reachable', isAtOnce: true });
    world.paused = ['consumer payment'];
    const held = { status: 'ok', detail: 'reachable', isAtOnce: true, paused: 'paused: consumer payment' };
    assert.deepEqual(await ask(), held);
    world.paused = [];
    world.isStopping = true;
    assert.equal((await ask()).status, 'failed');
  });

  it('is told within a tenth of a second also where the database is slow: as it was, for ten seconds', async () => {
    const { system, world, ask } = setUp();
    await ask();
    world.check = () => new Promise(() => {});
    for (let n = 0; n < 5; n += 1) assert.equal((await ask()).status, 'ok');
    assert.equal(world.asked, 2, 'one question is under way, however many ask');
    await system.advance(10_000);
    assert.deepEqual(await ask(), { status: 'failed', detail: 'has not answered for 11 s', isAtOnce: true });
  });

  it('has an answer that came too late ready for the next one who asks, the end of an outage above all', async () => {
    const { system, world, ask } = setUp();
    const slowly = (checks: readonly Check[]) => async () => {
      await system.sleep(80);
      return checks;
    };
    world.check = slowly([{ name: 'database', status: 'failed', detail: 'not reachable' }]);
    assert.equal((await ask()).status, 'ok', 'as it was');
    assert.equal((await ask()).status, 'failed');
    world.check = slowly(well);
    await system.advance(1_200);
    assert.equal((await ask()).status, 'ok');
    for (let probe = 0; probe < 4; probe += 1) {
      await system.advance(9_900);
      assert.equal((await ask()).status, 'ok', 'slow, and there');
    }
  });

  it('asks nobody where nobody asks', async () => {
    const { system, world, ask } = setUp();
    await ask();
    await system.advance(60_000);
    const { asked } = world;
    await system.advance(600_000);
    assert.equal(world.asked, asked);
  });

  it('fails at once where the database says so, and is back as soon as it is', async () => {
    const { world, ask } = setUp();
    world.check = async () => [{ name: 'database', status: 'failed', detail: 'not reachable' }];
    assert.equal((await ask()).detail, 'not reachable');
    world.check = async () => well;
    assert.equal((await ask()).status, 'ok');
  });
});
