// What every database promises about retention: what goes after its time, and what never does.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createCleanup } from '../../src/io/postgres/cleanup.ts';
import { silentLog } from '../support/silent-log.ts';
import { answersOf, type Store, troubleOf } from '../support/store.ts';

const dayMs = 86_400_000;

export function retentionContract(open: () => Store): void {
  describe('the cleanup', () => {
    // As if it ran so many days later.
    const runAfter = (days: number) => {
      const { database, system } = open();
      const now = () => new Date(system.now().getTime() + days * dayMs);
      return createCleanup({
        database,
        system: { ...system, now },
        retention: { keysHours: 168, rowsDays: 30 },
        log: silentLog,
      }).runOnce();
    };
    it('removes keys after their time: an equal request is a new order then', async () => {
      const { accept, requestOf, rowsOf } = open();
      const request = requestOf({ key: 'kept for a week' });
      await accept([request]);
      await runAfter(6);
      assert.deepEqual(answersOf(await accept([requestOf({ key: 'kept for a week' })])), ['replayed']);
      await runAfter(8);
      assert.deepEqual(answersOf(await accept([requestOf({ key: 'kept for a week' })])), ['placed']);
      assert.equal((await rowsOf(request.order.id)).orders, 1);
    });

    it('removes attempts and closed dead letters after their time, and never an open dead letter, an order or an event', async () => {
      const { placed, claimed, deadBy, settleOnce, desk, rowsOf } = open();
      const [closed, left] = [await placed(), await placed()];
      for (const { eventId } of [closed, left])
        await settleOnce(deadBy(await claimed('payment', eventId), troubleOf()));
      await desk.reprocess(closed.order.id, 'c-2');
      const counts = async (id: string) => {
        const { orders, events, effects, attempts, deadLetters } = await rowsOf(id);
        return { orders, events, effects, attempts, deadLetters };
      };
      await runAfter(29);
      assert.deepEqual(await counts(closed.order.id), {
        orders: 1,
        events: 3,
        effects: 1,
        attempts: 1,
        deadLetters: 1,
      });
      await runAfter(31);
      assert.deepEqual(await counts(closed.order.id), {
        orders: 1,
        events: 3,
        effects: 1,
        attempts: 0,
        deadLetters: 0,
      });
      assert.deepEqual(await counts(left.order.id), { orders: 1, events: 2, effects: 1, attempts: 0, deadLetters: 1 });
    });

    it('goes through any number of old rows, a thousand at a time', async () => {
      const { sql } = open();
      await sql(
        `INSERT INTO idempotency_keys SELECT 'old ' || nth, decode(repeat('00', 32), 'hex'), gen_random_uuid(), '2020-01-01'
         FROM generate_series(1, 2500) AS nth`,
      );
      assert.equal((await runAfter(0)).keys, 2_500);
    });
  });
}
