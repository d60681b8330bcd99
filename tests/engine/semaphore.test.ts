import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { createSemaphore } from '../../src/engine/semaphore.ts';

const never = new AbortController().signal;

async function isPending(promise: Promise<unknown>): Promise<boolean> {
  let pending = true;
  const end = () => {
    pending = false;
  };
  promise.then(end, end);
  await turn();
  return pending;
}

const hints = (semaphore: ReturnType<typeof createSemaphore>, tries: number) =>
  Array.from({ length: tries }, () => semaphore.tryAcquire()).filter(Boolean).length;

describe('a semaphore', { timeout: 20_000 }, () => {
  it('never has more slots out than there are', async () => {
    const semaphore = createSemaphore(4);
    assert.equal(await semaphore.acquireUpTo(10, never), 3);
    assert.equal(hints(semaphore, 10), 1);
    assert.equal(await isPending(semaphore.acquireUpTo(1, never)), true);
  });

  it('gives hints every slot while the poller wants none', () => {
    assert.equal(hints(createSemaphore(8), 10), 8);
  });

  it('gives a slot that comes back to the poller, ahead of hints', async () => {
    const semaphore = createSemaphore(4);
    assert.equal(hints(semaphore, 4), 4);
    const poller = semaphore.acquireUpTo(4, never);
    assert.equal(await isPending(poller), true);
    semaphore.release('hint');
    assert.equal(semaphore.tryAcquire(), false);
    assert.equal(await poller, 1);
  });

  it('keeps a quarter of the slots for hints, however much the poller wants', async () => {
    const semaphore = createSemaphore(8);
    assert.equal(await semaphore.acquireUpTo(100, never), 6);
    const more = semaphore.acquireUpTo(100, never);
    assert.equal(hints(semaphore, 10), 2);
    semaphore.release('hint');
    assert.equal(await isPending(more), true);
    assert.equal(hints(semaphore, 1), 1);
    semaphore.release('poller');
    assert.equal(await more, 1);
  });

  it('has a single slot for both', async () => {
    const semaphore = createSemaphore(1);
    assert.equal(await semaphore.acquireUpTo(5, never), 1);
    assert.equal(semaphore.tryAcquire(), false);
    semaphore.release('poller');
    assert.equal(semaphore.tryAcquire(), true);
  });

  it('answers 0 to a poller that stops', async () => {
    const semaphore = createSemaphore(1);
    assert.equal(semaphore.tryAcquire(), true);
    const stopping = new AbortController();
    const poller = semaphore.acquireUpTo(1, stopping.signal);
    stopping.abort();
    assert.equal(await poller, 0);
    semaphore.release('hint');
    assert.equal(semaphore.tryAcquire(), true);
  });

  it('tells when all slots are back', async () => {
    const semaphore = createSemaphore(2);
    await semaphore.whenAllFree();
    hints(semaphore, 2);
    const all = semaphore.whenAllFree();
    semaphore.release('hint');
    assert.equal(await isPending(all), true);
    semaphore.release('hint');
    await all;
  });
});
