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

describe('a semaphore', { timeout: 20_000 }, () => {
  it('never lets more through than it may', async () => {
    const semaphore = createSemaphore(2);
    await semaphore.acquire(never);
    await semaphore.acquire(never);
    const third = semaphore.acquire(never);
    assert.equal(await isPending(third), true);
    semaphore.release();
    await third;
    assert.equal(await isPending(semaphore.acquire(never)), true);
  });

  it('lets those who wait through in the order of asking', async () => {
    const semaphore = createSemaphore(1);
    await semaphore.acquire(never);
    const order: string[] = [];
    const waiting = ['first', 'second', 'third'].map((name) => semaphore.acquire(never).then(() => order.push(name)));
    for (const waits of waiting) {
      semaphore.release();
      await waits;
    }
    assert.deepEqual(order, ['first', 'second', 'third']);
  });

  it('is not taken by anybody who has stopped waiting', async () => {
    const semaphore = createSemaphore(1);
    await semaphore.acquire(never);
    const stopping = new AbortController();
    const stopped = semaphore.acquire(stopping.signal);
    const patient = semaphore.acquire(never);
    stopping.abort();
    await assert.rejects(stopped, /stopping/);
    await assert.rejects(semaphore.acquire(stopping.signal), /stopping/);
    semaphore.release();
    await patient;
  });
});
