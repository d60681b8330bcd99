// The net over everything: hundreds of worlds, each worse than a year of production, judged from outside.
//
// The seeds are the same on every run of a commit; `npm run simulate` runs others, as many as one likes.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { canaries } from './canaries.ts';
import { missingOf, type Tally } from './sometimes.ts';
import { startWorker, type Verdict, type Worker } from './worker.ts';

const seeds = 1_000;
// It is the longest of all test files, and the others do not keep two cores busy until it ends.
const workers = 2;
const share = seeds / workers;
// A canary that is not seen within this many seeds would not be worth its name.
const canarySeeds = 30;
// A world without trouble proves nothing.
const faultsPerSeedMin = 30;

describe('the simulated world', { timeout: 140_000 }, () => {
  const started: Worker[] = [];
  let verdicts: Verdict[];
  before(async () => {
    const judge = (_: unknown, nth: number) => {
      const worker = startWorker();
      started.push(worker);
      return worker.run({ task: 'seeds', from: 1 + nth * share, count: share });
    };
    verdicts = await Promise.all(Array.from({ length: workers }, judge));
  });
  // One that has judged other worlds before.
  const anyWorker = () => started.at(-1) as Worker;
  after(() => {
    for (const worker of started) worker.end();
  });

  it(`keeps every promise in each of ${seeds} seeds`, () => {
    const broken = verdicts
      .flatMap(({ failing }) => failing)
      .flatMap(({ seed, failures }) =>
        failures.map(
          ({ what, orderId, sentence }) => `${what}: ${orderId} ${sentence}\n  npm run simulate -- --seed ${seed}`,
        ),
      );
    assert.deepEqual(broken, []);
  });

  it('meets everything that it must have met to prove anything', () => {
    const seen: Tally = new Map();
    for (const [name, times] of verdicts.flatMap((verdict) => verdict.seen))
      seen.set(name, (seen.get(name) ?? 0) + times);
    const missing = missingOf(seen).map(({ name, sentence }) => `${name}: ${sentence}`);
    assert.deepEqual(missing, []);
    const counters = verdicts.flatMap((verdict) => Object.entries(verdict.counters));
    const faults = counters.filter(([name]) => name.startsWith('fault'));
    const perSeed = faults.reduce((sum, [, times]) => sum + times, 0) / seeds;
    assert.ok(perSeed > faultsPerSeedMin, `there were only ${perSeed} faults per seed`);
  });

  it('is the same world for the same seed, to the last bit', async () => {
    const again = await anyWorker().run({ task: 'seeds', from: 1, count: 20 });
    assert.deepEqual(again.hashes, verdicts[0]?.hashes.slice(0, 20));
  });

  for (const name of Object.keys(canaries)) {
    it(`finds an engine that ${name}`, async () => {
      const seed = await anyWorker().run({ task: 'canary', name, seeds: canarySeeds });
      assert.notEqual(seed, null, `nothing was seen within ${canarySeeds} seeds`);
    });
  }
});
