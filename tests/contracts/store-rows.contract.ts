// What every database promises about its rows: the guards of the writes, and what can never be stored.

import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import {
  claimDeliveriesIfDue,
  type DeliveryWrite,
  endDeliveriesIfHeld,
  renewLeases,
} from '../../src/io/postgres/deliveries.ts';
import { EntryFailedError } from '../../src/io/postgres/errors.ts';
import { updateOrdersIfUnchanged } from '../../src/io/postgres/orders.ts';
import { effectWith, someToken } from '../support/orders.ts';
import { authorized, type Store } from '../support/store.ts';

export function guardContract(open: () => Store): void {
  describe('a guarded write', () => {
    it('of an order hits only the version and the status it was made from', async () => {
      const { placed, sql, order } = open();
      const { order: from } = await placed();
      const to = { ...from, status: 'PROCESSING' as const, version: 2 };
      const hits = (stale: object) => {
        const update = { from: { order: { ...from, ...stale }, effects: {} }, to: { order: to, effects: {} } };
        return updateOrdersIfUnchanged(sql, [update]);
      };
      assert.equal(await hits({ version: 2 }), 0);
      assert.equal(await hits({ status: 'PROCESSING' }), 0);
      assert.deepEqual(await order(from.id), from);
      assert.equal(await hits({}), 1);
      assert.equal(await hits({}), 0);
    });

    it('of a claim enters a new row, and takes over only one that is due', async () => {
      const { placed, sql, system, makeDue, delivery } = open();
      const { order, eventId } = await placed();
      const writeOf = (): DeliveryWrite => ({
        consumer: 'payment',
        eventId,
        orderId: order.id,
        state: 'running',
        token: system.newToken(),
        epoch: 0,
        attempt: 1,
        takeovers: 0,
        dueInMs: 60_000,
        wait: 'keep',
      });
      const first = writeOf();
      assert.equal(await claimDeliveriesIfDue(sql, [first]), 1);
      assert.equal(await claimDeliveriesIfDue(sql, [writeOf()]), 0);
      assert.equal((await delivery('payment', eventId))?.token, first.token);
      await makeDue('payment', eventId);
      const second = writeOf();
      assert.equal(await claimDeliveriesIfDue(sql, [second]), 1);
      assert.equal((await delivery('payment', eventId))?.token, second.token);
      await endDeliveriesIfHeld(sql, [{ ...second, state: 'done', dueInMs: null, wait: 'end' }]);
      assert.equal(await claimDeliveriesIfDue(sql, [writeOf()]), 0);
    });

    it('of an end needs the token that holds the row, and a row that runs', async () => {
      const { placed, sql, system, claimed, delivery } = open();
      const { order, eventId } = await placed();
      const { token } = await claimed('payment', eventId);
      const write: DeliveryWrite = {
        consumer: 'payment',
        eventId,
        orderId: order.id,
        state: 'done',
        token,
        epoch: 0,
        attempt: 1,
        takeovers: 0,
        dueInMs: null,
        wait: 'end',
      };
      const before = await delivery('payment', eventId);
      assert.equal(await endDeliveriesIfHeld(sql, [{ ...write, token: system.newToken() }]), 0);
      assert.equal(await endDeliveriesIfHeld(sql, [{ ...write, consumer: 'fulfillment' }]), 0);
      assert.deepEqual(await delivery('payment', eventId), before);
      assert.equal(await endDeliveriesIfHeld(sql, [write]), 1);
      assert.equal(await endDeliveriesIfHeld(sql, [{ ...write, state: 'dead' }]), 0);
      assert.equal((await delivery('payment', eventId))?.state, 'done');
    });

    it('of an effect needs the token of who took it last', async () => {
      const { placed, sql, claimed, endingOf, settle, effect, deliveryInWords } = open();
      const { order, eventId } = await placed();
      const work = await claimed('payment', eventId);
      const done = effectWith('authorization', {
        ...work.subject.effects.authorization,
        state: 'done',
        reference: 'auth-1',
      });
      // A step that does not ask who holds it.
      const write = () =>
        settle([endingOf(work, { change: (record) => ({ order: record.order, facts: [], effects: [done] }) })]);
      const take = (token: string) =>
        sql('UPDATE orders SET authorization_token = $2 WHERE id = $1', [order.id, token]);
      await take(someToken);
      await assert.rejects(write(), EntryFailedError);
      assert.deepEqual(await effect(order.id, 'authorization'), { state: 'intent', token: someToken });
      assert.equal(await deliveryInWords('payment', eventId), 'running 1/0');
      await take(work.token);
      assert.deepEqual(await write(), ['settled']);
      assert.deepEqual(await effect(order.id, 'authorization'), { state: 'done', token: work.token });
    });

    it('of a lease extends only one that still holds, and tells which are lost', async () => {
      const { placed, sql, system, claimed, doneWith, settleOnce, makeDue, delivery } = open();
      const heldBy = async () => {
        const { eventId } = await placed();
        const work = await claimed('payment', eventId);
        return { consumer: 'payment', eventId, token: work.token, work };
      };
      const [mine, over, ended, stolen] = [await heldBy(), await heldBy(), await heldBy(), await heldBy()];
      await makeDue('payment', over.eventId);
      await settleOnce(doneWith(ended.work, authorized));
      const foreign = { ...stolen, token: system.newToken() };
      const unknown = { consumer: 'payment', eventId: system.newId(), token: system.newToken() };
      const stolenBefore = await delivery('payment', stolen.eventId);
      const lost = await renewLeases(sql, [mine, over, ended, foreign, unknown], 7_200_000);
      assert.deepEqual([...lost].sort(), [over, ended, foreign, unknown].map(({ token }) => token).sort());
      const [row] = await sql<{ is_extended: boolean }>(
        `SELECT due_at > clock_timestamp() + interval '1 hour' AS is_extended FROM deliveries WHERE event_id = $1`,
        [mine.eventId],
      );
      assert.equal(row?.is_extended, true);
      assert.deepEqual(await delivery('payment', stolen.eventId), stolenBefore);
      assert.equal((await delivery('payment', over.eventId))?.state, 'running');
    });
  });
}

// A row that is fine, and for each constraint what makes it impossible.
type Table = { readonly row: Record<string, unknown>; readonly refuses: Record<string, Record<string, unknown>[]> };
const id = (nth: number) => `00000000-0000-7000-8000-00000000000${nth}`;
const at = new Date('2026-11-21T07:00:00.000Z');
const reason = { reason_code: 'x', reason_message: 'y' };
const authorization = {
  authorization_generation: 0,
  authorization_state: 'intent',
  authorization_token: id(9),
  authorization_first_used_at: at,
};
const booking = {
  booking_generation: 0,
  booking_state: 'intent',
  booking_token: id(9),
  booking_first_used_at: at,
};

const tables: Record<string, Table> = {
  orders: {
    row: {
      id: id(1),
      status: 'PENDING',
      payment: 'none',
      fulfillment: 'none',
      retry_count: 0,
      amount: 1,
      currency: 'EUR',
      country: 'US',
      items: '[]',
      customer_email: 'a@example.com',
      user_id: null,
      payment_scenario: 'success',
      reason_code: null,
      reason_message: null,
      correlation_id: 'c-1',
      version: 1,
      created_at: at,
      updated_at: at,
    },
    refuses: {
      orders_pkey: [{}],
      orders_status_check: [{ id: id(2), status: 'LOST' }],
      orders_payment_check: [{ id: id(2), payment: 'maybe' }],
      orders_fulfillment_check: [{ id: id(2), fulfillment: 'maybe' }],
      orders_retry_count_check: [{ id: id(2), retry_count: -1 }],
      orders_amount_check: [
        { id: id(2), amount: 0 },
        { id: id(2), amount: '9007199254740992' },
      ],
      orders_currency_check: [{ id: id(2), currency: 'EURO' }],
      orders_country_check: [{ id: id(2), country: 'USA' }],
      orders_version_check: [{ id: id(2), version: 0 }],
      orders_have_a_customer: [{ id: id(2), customer_email: null }],
      orders_that_ended_badly_say_why: [
        { id: id(2), status: 'FAILED' },
        { id: id(2), status: 'CANCELED' },
        { id: id(2), status: 'PENDING', ...reason },
        { id: id(2), status: 'FAILED', ...reason, reason_message: null },
      ],
      orders_processed_are_paid_and_booked: [
        { id: id(2), status: 'PROCESSED', payment: 'authorized' },
        { id: id(2), status: 'PROCESSED', fulfillment: 'scheduled' },
        { id: id(2), status: 'PROCESSED', payment: 'voided', fulfillment: 'scheduled' },
      ],
      orders_authorization_generation_check: [{ id: id(2), ...authorization, authorization_generation: -1 }],
      orders_authorization_state_check: [{ id: id(2), ...authorization, authorization_state: 'maybe' }],
      orders_booking_generation_check: [{ id: id(2), ...booking, booking_generation: -1 }],
      orders_booking_state_check: [{ id: id(2), ...booking, booking_state: 'maybe' }],
      orders_effects_are_whole: [
        ...Object.keys(authorization).map((column) => ({ id: id(2), ...authorization, [column]: null })),
        ...Object.keys(booking).map((column) => ({ id: id(2), ...booking, [column]: null })),
        { id: id(2), authorization_reference: 'auth-1' },
        { id: id(2), authorization_expires_at: at },
        { id: id(2), booking_reference: 'book-1' },
      ],
      orders_effects_done_have_a_reference: [
        { id: id(2), ...authorization, authorization_state: 'done' },
        { id: id(2), ...booking, booking_state: 'done' },
      ],
    },
  },
  idempotency_keys: {
    row: { key: 'the only one', fingerprint: Buffer.alloc(32), order_id: id(1), created_at: at },
    refuses: {
      idempotency_keys_pkey: [{ order_id: id(2) }],
      idempotency_keys_fingerprint_check: [{ key: 'another', fingerprint: Buffer.alloc(31) }],
    },
  },
  events: {
    row: {
      ...{ id: id(1), order_id: id(1), version: 1, type: 'T', data: '{}', correlation_id: 'c-1', time: at },
      // Far behind every position that the other tests are given.
      position: 1_000_000_001,
    },
    refuses: {
      events_pkey: [{ order_id: id(2), position: 1_000_000_002 }],
      events_order_id_version_key: [{ id: id(2), position: 1_000_000_002 }],
      events_position_key: [{ id: id(2), order_id: id(2) }],
      events_version_check: [{ id: id(2), version: 0 }],
      events_data_check: [{ id: id(2), version: 2, data: JSON.stringify('x'.repeat(60_000)) }],
    },
  },
  cursors: {
    row: { reader: 'c', read_to: 7, gaps: '{[2,4),[7,8)}' },
    refuses: {
      cursors_pkey: [{}],
      cursors_read_to_check: [{ reader: 'd', read_to: -1, gaps: '{}' }],
      cursors_gaps_lie_below: [{ reader: 'd', gaps: '{[2,9)}' }],
    },
  },
  deliveries: {
    row: { event_id: id(1), consumer: 'c', state: 'running', epoch: 0, attempt: 0, takeovers: 0, due_at: at },
    refuses: {
      deliveries_pkey: [{}],
      deliveries_state_check: [{ event_id: id(2), state: 'lost', due_at: null }],
      deliveries_epoch_check: [{ event_id: id(2), epoch: -1 }],
      deliveries_attempt_check: [{ event_id: id(2), attempt: -1 }],
      deliveries_takeovers_check: [{ event_id: id(2), takeovers: -1 }],
      deliveries_owed_are_due: [
        { event_id: id(2), state: 'running', due_at: null },
        { event_id: id(2), state: 'waiting', due_at: null },
        { event_id: id(2), state: 'done' },
        { event_id: id(2), state: 'skipped' },
        { event_id: id(2), state: 'dead' },
      ],
    },
  },
  dead_letters: {
    row: {
      id: id(1),
      consumer: 'c',
      delivery_id: id(1),
      failure_class: 'retryable',
      code: 'x',
      message: 'y',
      attempts: 1,
      failed_at: at,
    },
    refuses: {
      dead_letters_pkey: [{ delivery_id: id(2) }],
      dead_letters_open: [{ id: id(2) }],
      dead_letters_attempts_check: [{ id: id(2), delivery_id: id(2), attempts: -1 }],
      dead_letters_closed_how_check: [{ id: id(2), delivery_id: id(2), closed_at: at, closed_how: 'lost' }],
      dead_letters_closed_say_how: [
        { id: id(2), delivery_id: id(2), closed_at: at },
        { id: id(2), delivery_id: id(2), closed_how: 'canceled' },
      ],
    },
  },
  attempts: {
    row: {
      order_id: id(1),
      consumer: 'c',
      event_id: id(1),
      epoch: 0,
      attempt: 1,
      outcome: 'retry',
      code: 'x',
      message: 'y',
      at,
    },
    refuses: { attempts_outcome_check: [{ outcome: 'luck' }] },
  },
  watermarks: {
    row: { consumer: 'c', type: 'T', xid: '1' },
    refuses: { watermarks_pkey: [{ xid: '2' }] },
  },
  search_rebuilds: {
    row: { kind: 'c', target: 'c-1', after: id(1), token: id(2), alive_at: at },
    refuses: { search_rebuilds_pkey: [{ target: 'c-2' }] },
  },
  order_documents: {
    row: { order_id: id(1), version: 1, created_at: at, words: "'phone'" },
    refuses: { order_documents_pkey: [{}], order_documents_version_check: [{ version: 0 }] },
  },
  audit_log: {
    row: { id: id(1), at, action: 'canceled', detail: '{}', correlation_id: 'c-1' },
    refuses: { audit_log_pkey: [{}] },
  },
  analytics: {
    row: { day: '1999-12-31', measure: 'status', value: 'c', currency: 'EUR', country: 'DE', count: 1, amount: 1 },
    refuses: { analytics_pkey: [{ count: 2 }], analytics_measure_check: [{ measure: 'mood' }] },
  },
};

export function constraintContract(open: () => Store): void {
  const insert = (table: string, row: Record<string, unknown>) => {
    const columns = Object.keys(row);
    const places = columns.map((_, index) => `$${index + 1}`);
    const text = `INSERT INTO ${table} (${columns.join(', ')}) OVERRIDING SYSTEM VALUE VALUES (${places.join(', ')})`;
    return open().database.query(text, Object.values(row));
  };

  describe('the schema', () => {
    after(async () => {
      const { sql } = open();
      for (const table of ['orders', 'events', 'dead_letters', 'audit_log']) {
        await sql(`DELETE FROM ${table} WHERE id = $1`, [id(1)]);
      }
      for (const table of ['attempts', 'idempotency_keys', 'order_documents']) {
        await sql(`DELETE FROM ${table} WHERE order_id = $1`, [id(1)]);
      }
      await sql('DELETE FROM deliveries WHERE event_id = $1', [id(1)]);
      await sql(`DELETE FROM watermarks WHERE consumer = 'c'`);
      await sql(`DELETE FROM cursors WHERE reader = 'c'`);
      await sql(`DELETE FROM search_rebuilds WHERE kind = 'c'`);
      await sql(`DELETE FROM analytics WHERE value = 'c'`);
    });

    it('has a case here for each of its checks and unique keys', async () => {
      const { sql } = open();
      const rows = await sql<{ name: string }>(
        `SELECT conname AS name FROM pg_constraint
         WHERE connamespace = 'public'::regnamespace AND contype IN ('c', 'p', 'u', 'f', 'x')
         UNION SELECT relname FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
         WHERE indisunique AND relnamespace = 'public'::regnamespace AND relname NOT LIKE 'schema\\_version%'`,
      );
      const names = rows.map(({ name }) => name).filter((name) => !name.startsWith('schema_version'));
      const cases = Object.values(tables).flatMap(({ refuses }) => Object.keys(refuses));
      assert.deepEqual(names.sort(), cases.sort());
    });

    for (const [table, { row, refuses }] of Object.entries(tables)) {
      it(`takes a row of ${table} that is possible`, async () => {
        await insert(table, row);
      });

      for (const [constraint, cases] of Object.entries(refuses)) {
        it(`refuses by ${constraint} what is impossible`, async () => {
          for (const impossible of cases) {
            const refused = { code: /_pkey|_key$|_open/.test(constraint) ? '23505' : '23514', constraint };
            await assert.rejects(insert(table, { ...row, ...impossible }), refused, JSON.stringify(impossible));
          }
        });
      }
    }

    it('holds the largest amount to the last unit', async () => {
      const { placed, order } = open();
      const { order: asked } = await placed({ amount: Number.MAX_SAFE_INTEGER });
      assert.equal((await order(asked.id)).amount, Number.MAX_SAFE_INTEGER);
    });
  });
}
