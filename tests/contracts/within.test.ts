// Waiting for a library no longer than we want to.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { within } from '../../src/io/within.ts';
import { createVirtualSystem } from '../support/virtual-system.ts';

const never = () => new Promise<never>(() => {});

describe('what a server is asked', () => {
  it('is answered as the server answers, and leaves no timer behind', async () => {
    const system = createVirtualSystem();
    const bounds = { what: 'a question', ms: 1_000, system };
    assert.equal(await within(bounds, async () => 'yes'), 'yes');
    await assert.rejects(
      within(bounds, () => {
        throw new Error('no');
      }),
      /no/,
    );
    assert.equal(system.timers(), 0);
  });

  it('is given up after its time, and told so', async () => {
    const system = createVirtualSystem();
    let told: AbortSignal | null = null;
    const asked = within({ what: 'a question', ms: 1_000, system }, (signal) => {
      told = signal;
      return never();
    });
    const ended = asked.then(
      () => 'answered',
      (error: Error) => error.message,
    );
    await system.advance(999);
    assert.equal((told as AbortSignal | null)?.aborted, false);
    await system.advance(1);
    assert.equal(await Promise.race([ended, system.calm()]), 'a question did not end within 1000 ms');
    assert.equal((told as AbortSignal | null)?.aborted, true);
  });

  it('is given up when nobody wants the answer any more, or not asked at all', async () => {
    const system = createVirtualSystem();
    const stopping = new AbortController();
    const { signal } = stopping;
    const asked = within({ what: 'a question', signal, system }, never);
    stopping.abort(new Error('the process stops'));
    await assert.rejects(asked, /the process stops/);
    await assert.rejects(
      within({ what: 'a question', signal, system }, () => assert.fail('asked')),
      /the process stops/,
    );
  });

  it('ends the process by no late failure', async () => {
    const system = createVirtualSystem();
    const { promise, reject } = Promise.withResolvers<never>();
    const asked = within({ what: 'a question', ms: 1, system }, () => promise);
    asked.catch(() => {});
    await system.advance(1);
    reject(new Error('too late'));
    await system.calm();
    await assert.rejects(asked, /did not end/);
  });
});
