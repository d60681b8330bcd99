// Seeds that once broke a promise, each with a sentence. A seed is a world only together with its commit: what
// a later commit draws for it may be another one, so the sentence is what lasts, and a test of its own beside it.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { runSeed } from './run.ts';

const regressions: readonly { readonly seed: number; readonly because: string }[] = [];

describe('a seed of the past', () => {
  it('keeps every promise now', async () => {
    for (const { seed, because } of regressions) {
      const { failures } = await runSeed(seed);
      assert.deepEqual(failures, [], `${because}\n  npm run simulate -- --seed ${seed}`);
    }
  });
});
