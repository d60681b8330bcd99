// The net over everything: hundreds of worlds, each worse than a year of production, judged from outside.
//
// The seeds are the same on every run of a commit; `npm run simulate` runs others, as many as one likes.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { canaries } from './canaries.ts';
import { missingOf } from './sometimes.ts';
import { startWorker, type Verdict, type Worker } from './worker.ts';

const seeds = 1_000;
// A canary that is not seen within this many seeds would not be worth its name.
const canarySeeds = 30;
// A world without trouble proves nothing.
const faultsPerSeedMin = 30;

describe('the simulated world', { timeout: 140_000 }, () => {
  let worker: Worker;
  let verdict: Verdict;
  before(async () => {
    worker = startWorker();
    verdict = await worker.run({ task: 'seeds', from: 1, count: seeds });
  });
  after(() => worker.end());

  it(`keeps every promise in each of ${seeds} seeds`, () => {
    const broken = verdict.failing.flatMap(({ seed, failures }) =>
      failures.map(
        ({ what, orderId, sentence }) => `${what}: ${orderId} ${sentence}\n  npm run simulate -- --seed ${seed}`,
      ),
    );
    assert.deepEqual(broken, []);
  });

  it('meets everything that it must have met to prove anything', () => {
    const missing = missingOf(new Map(verdict.seen)).map(({ name, sentence }) => `${name}: ${sentence}`);
    assert.deepEqual(missing, []);
    const faults = Object.entries(verdict.counters).filter(([name]) => name.startsWith('fault'));
    const perSeed = faults.reduce((sum, [, times]) => sum + times, 0) / seeds;
    assert.ok(perSeed > faultsPerSeedMin, `there were only ${perSeed} faults per seed`);
  });

  it('is the same world for the same seed, to the last bit', async () => {
    const again = await worker.run({ task: 'seeds', from: 501, count: 20 });
    assert.deepEqual(again.hashes, verdict.hashes.slice(500, 520));
  });

  for (const name of Object.keys(canaries)) {
    it(`finds an engine that ${name}`, async () => {
      const seed = await worker.run({ task: 'canary', name, seeds: canarySeeds });
      assert.notEqual(seed, null, `nothing was seen within ${canarySeeds} seeds`);
    });
  }
});
