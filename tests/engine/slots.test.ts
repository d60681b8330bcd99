import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { createSlots } from '../../src/engine/slots.ts';

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

const hints = (slots: ReturnType<typeof createSlots>, tries: number) =>
  Array.from({ length: tries }, () => slots.tryAcquire()).filter(Boolean).length;

describe('slots', { timeout: 20_000 }, () => {
  it('never has more slots out than there are', async () => {
    const slots = createSlots(4);
    assert.equal(await slots.acquireUpTo(10, never), 3);
    assert.equal(hints(slots, 10), 1);
    assert.equal(await isPending(slots.acquireUpTo(1, never)), true);
  });

  it('gives hints every slot while the poller wants none', () => {
    assert.equal(hints(createSlots(8), 10), 8);
  });

  it('gives a slot that comes back to the poller, ahead of hints', async () => {
    const slots = createSlots(4);
    assert.equal(hints(slots, 4), 4);
    const poller = slots.acquireUpTo(4, never);
    assert.equal(await isPending(poller), true);
    slots.release('hint');
    assert.equal(slots.tryAcquire(), false);
    assert.equal(await poller, 1);
  });

  it('keeps a quarter of the slots for hints, however much the poller wants', async () => {
    const slots = createSlots(8);
    assert.equal(await slots.acquireUpTo(100, never), 6);
    const more = slots.acquireUpTo(100, never);
    assert.equal(hints(slots, 10), 2);
    slots.release('hint');
    assert.equal(await isPending(more), true);
    assert.equal(hints(slots, 1), 1);
    slots.release('poller');
    assert.equal(await more, 1);
  });

  it('has a single slot for both', async () => {
    const slots = createSlots(1);
    assert.equal(await slots.acquireUpTo(5, never), 1);
    assert.equal(slots.tryAcquire(), false);
    slots.release('poller');
    assert.equal(slots.tryAcquire(), true);
  });

  it('answers 0 to a poller that stops', async () => {
    const slots = createSlots(1);
    assert.equal(slots.tryAcquire(), true);
    const stopping = new AbortController();
    const poller = slots.acquireUpTo(1, stopping.signal);
    stopping.abort();
    assert.equal(await poller, 0);
    slots.release('hint');
    assert.equal(slots.tryAcquire(), true);
  });

  it('tells when all slots are back', async () => {
    const slots = createSlots(2);
    await slots.whenAllFree();
    hints(slots, 2);
    const all = slots.whenAllFree();
    slots.release('hint');
    assert.equal(await isPending(all), true);
    slots.release('hint');
    await all;
  });
});
