// Reading old events: with a made-up chain, because no type has a second version yet, and with every
// fixture that was ever stored.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { Compile } from 'typebox/compile';
import { type EventType, eventSchemas } from '../../src/domain/events.ts';
import { type UpcastChains, upcast, versionsUpTo } from '../../src/domain/upcasts.ts';
import { subscriptions, typesOf } from '../../src/flow/subscriptions.ts';

const chains: UpcastChains = {
  ParcelSent: [
    (data) => ({ ...data, carrier: 'unknown' }),
    ({ weight, ...data }) => ({ ...data, weightGrams: Number(weight) * 1_000 }),
  ],
};

describe('an event of an older version', () => {
  it('is read at the newest version, through every link between', () => {
    assert.deepEqual(upcast('ParcelSentV1', { weight: 2 }, chains), {
      type: 'ParcelSentV3',
      data: { carrier: 'unknown', weightGrams: 2_000 },
    });
    assert.deepEqual(upcast('ParcelSentV2', { carrier: 'x', weight: 1 }, chains), {
      type: 'ParcelSentV3',
      data: { carrier: 'x', weightGrams: 1_000 },
    });
  });

  it('is left as it is at the newest version, and at one that this release does not know', () => {
    const data = { carrier: 'x', weightGrams: 1 };
    assert.deepEqual(upcast('ParcelSentV3', data, chains), { type: 'ParcelSentV3', data });
    assert.deepEqual(upcast('ParcelSentV9', data, chains), { type: 'ParcelSentV9', data });
  });

  it('is subscribed to by every consumer of a newer one', () => {
    assert.deepEqual(versionsUpTo('ParcelSentV3'), ['ParcelSentV1', 'ParcelSentV2', 'ParcelSentV3']);
    for (const row of subscriptions) for (const type of row.on) assert.ok(typesOf(row).includes(type));
  });
});

describe('every stored fixture', () => {
  it('is read as a valid event of today', () => {
    const folder = new URL('../fixtures/events/', import.meta.url);
    type Stored = { readonly type: string; readonly data: Record<string, unknown> };
    for (const name of readdirSync(folder)) {
      for (const stored of JSON.parse(readFileSync(new URL(name, folder), 'utf8')) as Stored[]) {
        const read = upcast(stored.type, stored.data);
        const schema = eventSchemas[read.type as EventType];
        assert.ok(schema, `${name}: ${read.type} is no type of today`);
        assert.ok(Compile(schema).Check(read.data), `${name}: ${JSON.stringify(read.data)}`);
      }
    }
  });
});
