import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { createSlots } from '../../src/engine/semaphore.ts';

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

describe('slots', { timeout: 20_000 }, () => {
  it('are never more out than there are', async () => {
    const slots = createSlots(2);
    await slots.acquire(never);
    await slots.acquire(never);
    const third = slots.acquire(never);
    assert.equal(await isPending(third), true);
    slots.release();
    await third;
    assert.equal(await isPending(slots.acquire(never)), true);
  });

  it('go to those who wait in the order of asking', async () => {
    const slots = createSlots(1);
    await slots.acquire(never);
    const order: string[] = [];
    const waiting = ['first', 'second', 'third'].map((name) => slots.acquire(never).then(() => order.push(name)));
    for (const waits of waiting) {
      slots.release();
      await waits;
    }
    assert.deepEqual(order, ['first', 'second', 'third']);
  });

  it('are not given to anybody who has stopped waiting', async () => {
    const slots = createSlots(1);
    await slots.acquire(never);
    const stopping = new AbortController();
    const stopped = slots.acquire(stopping.signal);
    const patient = slots.acquire(never);
    stopping.abort();
    await assert.rejects(stopped, /stopping/);
    await assert.rejects(slots.acquire(stopping.signal), /stopping/);
    slots.release();
    await patient;
  });

  it('tell when one is free, or when it is no use to wait', async () => {
    const slots = createSlots(1);
    await slots.whenFree(never);
    await slots.acquire(never);
    const stopping = new AbortController();
    const [free, stopped] = [slots.whenFree(never), slots.whenFree(stopping.signal)];
    assert.equal(await isPending(free), true);
    stopping.abort();
    await stopped;
    assert.equal(await isPending(free), true);
    slots.release();
    await free;
  });

  it('tell when all are back', async () => {
    const slots = createSlots(2);
    await slots.whenAllFree();
    await slots.acquire(never);
    await slots.acquire(never);
    const all = slots.whenAllFree();
    slots.release();
    assert.equal(await isPending(all), true);
    slots.release();
    await all;
  });
});
