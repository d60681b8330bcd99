// The crash matrix as tests, one per point; see matrix.ts.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { startWorker } from './worker.ts';

describe('the crash matrix', { timeout: 140_000 }, async () => {
  const worker = startWorker();
  const judged = await worker.run({ task: 'matrix' });
  worker.end();
  for (const { name, failure } of judged) it(name, () => assert.equal(failure, null));
});
