import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Change } from '../../src/engine/ports.ts';
import {
  createCreation,
  inBatch,
  type SpanStart,
  silentTracer,
  startProcess,
  type Tracer,
} from '../../src/engine/tracer.ts';
import { orderWith, workOn } from '../support/orders.ts';

const record = { order: orderWith({}), effects: {} };
const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';

function recording() {
  const started: (SpanStart & { ended: number; error: string | null })[] = [];
  const tracer: Tracer = {
    ...silentTracer,
    start: (start) => {
      const span = { ...start, ended: 0, error: null as string | null };
      started.push(span);
      const end = (_ = {}, error: string | null = null) => {
        span.ended += 1;
        span.error = error;
      };
      return { traceparent: `span ${started.length}`, end };
    },
    isShown: (one) => one?.endsWith('-01') ?? false,
  };
  return { tracer, started };
}

describe('the span of an attempt', () => {
  const event = { ...workOn(record).event, traceparent };
  const placeOf = (more: object) => {
    const { tracer, started } = recording();
    startProcess(tracer, { ...workOn(record), event, ...more });
    return started.map(({ parent, links }) => ({ parent, links }));
  };

  it('is a part of its event where it is the first one', () => {
    assert.deepEqual(placeOf({}), [{ parent: traceparent, links: undefined }]);
  });

  const later = {
    retry: { attempt: 2 },
    reprocess: { epoch: 1 },
    takeover: { takenOver: true },
    wait: { waitedMs: 3 },
  };
  for (const [name, more] of Object.entries(later)) {
    it(`is a trace of its own with a link to its event after a ${name}`, () => {
      assert.deepEqual(placeOf(more), [{ parent: null, links: [traceparent] }]);
    });
  }

  it('hands the context of the event on where nothing is traced', () => {
    for (const more of [{}, ...Object.values(later)]) {
      const work = { ...workOn(record), event, ...more };
      assert.equal(startProcess(silentTracer, work).traceparent, traceparent);
      const untraced = { ...work, event: { ...event, traceparent: null } };
      assert.equal(startProcess(silentTracer, untraced).traceparent, null);
    }
  });
});

describe('the span in which events are created', () => {
  const change: Change = {
    order: record.order,
    events: [{ type: 'PaymentFailedV1', version: 2, data: {} }],
    effects: [],
  };

  it('is that of the decision that was stored: one that was rolled back is not shown', () => {
    const { tracer, started } = recording();
    const creation = createCreation(tracer, () => traceparent);
    assert.equal(creation.mark(change).traceparent, 'span 1');
    assert.equal(creation.mark(change).traceparent, 'span 2');
    creation.stored();
    assert.deepEqual(
      started.map(({ name, parent, ended }) => [name, parent, ended]),
      [
        ['create PaymentFailedV1', traceparent, 0],
        ['create PaymentFailedV1', traceparent, 1],
      ],
    );
  });

  it('is none where the last decision makes no event', () => {
    const { tracer, started } = recording();
    const creation = createCreation(tracer, () => null);
    creation.mark(change);
    const without = { ...change, events: [] };
    assert.equal(creation.mark(without), without);
    creation.stored();
    assert.deepEqual(
      started.map(({ ended }) => ended),
      [0],
    );
  });
});

describe('the span of a batch', () => {
  const named = { operation: 'process', reader: 'search' } as const;
  const hidden = traceparent.replace(/01$/, '00');

  it('has links to the events that are shown, 128 at most, and is none where there are none', async () => {
    const { tracer, started } = recording();
    assert.equal(await inBatch(tracer, named, [null, hidden], async () => 'done'), 'done');
    assert.equal(started.length, 0);
    await inBatch(tracer, named, [null, hidden, traceparent], async () => {});
    await inBatch(tracer, named, Array(500).fill(traceparent), async () => {});
    assert.deepEqual(
      started.map(({ parent, links, ended }) => [parent, (links ?? []).length, ended]),
      [
        [null, 1, 1],
        [null, 128, 1],
      ],
    );
  });

  it('ends as an error where its work fails, which fails as it did', async () => {
    const { tracer, started } = recording();
    const failure = new TypeError('no bus');
    await assert.rejects(
      inBatch(tracer, named, [traceparent], async () => {
        throw failure;
      }),
      failure,
    );
    assert.deepEqual(
      started.map(({ ended, error }) => [ended, error]),
      [[1, 'TypeError']],
    );
  });
});
