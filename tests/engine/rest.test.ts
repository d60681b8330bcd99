// How long a fact rests: by its own age, and never longer than its step says.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { restLeftMs } from '../../src/engine/rest.ts';
import { createSystem } from '../../src/io/system.ts';

describe('the rest of a fact', () => {
  const { newId, newToken, now } = createSystem();
  const later = (ms: number) => new Date(now().getTime() + ms);

  it('is over when the fact is as old as its step says', () => {
    const id = newId();
    assert.ok(restLeftMs(id, 60_000, now()) > 0);
    assert.ok(restLeftMs(id, 60_000, later(40_000)) < 21_000);
    assert.equal(restLeftMs(id, 60_000, later(60_001)), 0);
    assert.equal(restLeftMs(id, 0, now()), 0);
  });

  it('is bounded where another clock, or another hand, made the id', () => {
    assert.equal(restLeftMs('ffffffff-ffff-7fff-bfff-ffffffffffff', 200, now()), 200);
    assert.equal(restLeftMs('00000000-0000-7000-8000-000000000000', 200, now()), 0);
    for (let count = 0; count < 100; count += 1) {
      const leftMs = restLeftMs(newToken(), 200, now());
      assert.ok(leftMs >= 0 && leftMs <= 200, `${leftMs}`);
    }
  });
});
