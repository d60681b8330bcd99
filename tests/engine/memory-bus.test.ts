import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import type { Message, Received } from '../../src/engine/ports.ts';
import { createMemoryBus } from '../../src/io/buses/memory.ts';
import { createMemoryLog, silentLog } from '../support/silent-log.ts';

const signal = new AbortController().signal;
const messageOf = (text: string, type = 'OrderCreatedV1'): Message => ({
  id: text,
  key: text,
  type,
  stream: 'orders.events.v1',
  body: Buffer.from(text),
});
const textsOf = (batch: readonly Received[]) => batch.map((one) => one.body.toString());

describe('the bus in memory', { timeout: 20_000 }, () => {
  it('brings every group its types, in the order of publishing', async () => {
    const bus = createMemoryBus({ log: silentLog });
    const seen: Record<string, string[]> = { created: [], all: [] };
    for (const [name, types] of Object.entries({ created: ['OrderCreatedV1'], all: ['OrderCreatedV1', 'OtherV1'] })) {
      await bus.subscribe(name, types, async (batch) => void seen[name]?.push(...textsOf(batch)));
    }
    await bus.publish([messageOf('a'), messageOf('b', 'OtherV1'), messageOf('c')], signal);
    await bus.publish([messageOf('d', 'NobodysV1'), messageOf('e')], signal);
    await turn();
    assert.deepEqual(seen, { created: ['a', 'c', 'e'], all: ['a', 'b', 'c', 'e'] });
  });

  it('never lets one slow group hold up the others, nor who publishes', async () => {
    const bus = createMemoryBus({ log: silentLog });
    const seen: string[] = [];
    await bus.subscribe('stuck', ['OrderCreatedV1'], () => new Promise(() => {}));
    await bus.subscribe('quick', ['OrderCreatedV1'], async (batch) => void seen.push(...textsOf(batch)));
    const names = Array.from({ length: 10_000 }, (_, index) => String(index));
    for (const name of names) {
      await bus.publish([messageOf(name)], signal);
      await turn();
    }
    assert.equal(seen.length, names.length);
    assert.ok(names.every((name, index) => seen[index] === name));
  });

  it('keeps a bounded number of hints for a slow group and counts those that it drops', async () => {
    let dropped = 0;
    const bus = createMemoryBus({
      log: silentLog,
      onDropped: (group) => {
        assert.equal(group, 'slow');
        dropped += 1;
      },
    });
    let open = () => {};
    const gate = new Promise<void>((resolve) => {
      open = resolve;
    });
    const seen: string[] = [];
    await bus.subscribe('slow', ['OrderCreatedV1'], async (batch) => {
      await gate;
      seen.push(...textsOf(batch));
    });
    const published = 20_000;
    for (let count = 0; count < published; count += 100) {
      const names = Array.from({ length: 100 }, (_, index) => String(count + index));
      await bus.publish(
        names.map((name) => messageOf(name)),
        signal,
      );
    }
    // What is queued, and up to four batches of 128 that were handed over.
    assert.ok(published - dropped <= 4_096 + 4 * 128, `${published - dropped} are kept`);
    open();
    while (seen.length < published - dropped) await turn();
    assert.equal(new Set(seen).size, seen.length);
    assert.ok(seen.every((name, index) => index === 0 || Number(name) > Number(seen[index - 1])));
  });

  it('goes on after a batch that was not taken', async () => {
    const log = createMemoryLog();
    const bus = createMemoryBus({ log });
    const seen: string[] = [];
    await bus.subscribe('payment', ['OrderCreatedV1'], async (batch) => {
      if (textsOf(batch).includes('a')) throw new Error('the database is away');
      seen.push(...textsOf(batch));
    });
    await bus.publish([messageOf('a')], signal);
    await turn();
    await bus.publish([messageOf('b')], signal);
    await turn();
    assert.deepEqual(seen, ['b']);
    assert.equal(log.lines.length, 1);
  });

  it('ends a subscription when what it handed over is done, and hands nothing over afterwards', async () => {
    const bus = createMemoryBus({ log: silentLog });
    let open = () => {};
    const seen: string[] = [];
    const subscription = await bus.subscribe('payment', ['OrderCreatedV1'], async (batch) => {
      seen.push(...textsOf(batch));
      await new Promise<void>((resolve) => {
        open = resolve;
      });
    });
    await bus.publish([messageOf('a')], signal);
    let closed = false;
    const closing = subscription.close().then(() => {
      closed = true;
    });
    await bus.publish([messageOf('b')], signal);
    await turn();
    assert.equal(closed, false);
    open();
    await closing;
    assert.deepEqual(seen, ['a']);
  });
});
