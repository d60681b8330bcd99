// What every database promises about its rows: the guards of the writes, and what can never be stored.

import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { EntryFailedError } from '../../src/io/postgres/errors.ts';
import { claimJobsIfUnchanged, deleteJobsIfHeld, pauseJobsIfHeld } from '../../src/io/postgres/jobs.ts';
import { renewLeases } from '../../src/io/postgres/leases.ts';
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

    it('of a claim hits only a job that is as it was read, and whose lease does not run', async () => {
      const { placed, sql, system, keyOfEvent, makeDue, job } = open();
      const { eventId } = await placed();
      const key = { consumer: 'payment', ...keyOfEvent(eventId) };
      const claim = (before: string | null, token = system.newToken()) =>
        claimJobsIfUnchanged(sql, [{ ...key, before, token, attempt: 1, takeovers: 0 }], 60_000);
      assert.equal(await claim(system.newToken()), 0);
      const first = system.newToken();
      assert.equal(await claim(null, first), 1);
      assert.equal(await claim(null), 0);
      assert.equal(await claim(first), 0, 'its lease runs');
      await makeDue('payment', eventId);
      assert.equal(await claim(system.newToken()), 0);
      const second = system.newToken();
      assert.equal(await claim(first, second), 1);
      assert.equal((await job('payment', eventId))?.token, second);
    });

    it('of an end, or of a wait, needs the token that holds the job', async () => {
      const { placed, sql, system, claimed, keyOfEvent, job, jobInWords } = open();
      const { eventId } = await placed();
      const { token } = await claimed('payment', eventId);
      const key = { consumer: 'payment', ...keyOfEvent(eventId) };
      const pause = { ...key, dueInMs: 60_000, attempt: 1, takeovers: 0, isCharged: true };
      const before = await job('payment', eventId);
      assert.equal(await deleteJobsIfHeld(sql, [{ ...key, token: system.newToken() }]), 0);
      assert.equal(await deleteJobsIfHeld(sql, [{ ...key, token: null }]), 0);
      assert.equal(await deleteJobsIfHeld(sql, [{ ...key, token, consumer: 'fulfillment' }]), 0);
      assert.equal(await pauseJobsIfHeld(sql, [{ ...pause, token: system.newToken() }]), 0);
      assert.deepEqual(await job('payment', eventId), before);
      assert.equal(await pauseJobsIfHeld(sql, [{ ...pause, token }]), 1);
      assert.equal(await jobInWords('payment', eventId), 'waits 1/0');
      assert.equal(await pauseJobsIfHeld(sql, [{ ...pause, token }]), 0);
      const again = await claimed('payment', eventId).catch(() => null);
      assert.equal(again, null, 'it is not due');
      assert.equal(await deleteJobsIfHeld(sql, [{ ...key, token: null }]), 1);
    });

    it('of an effect needs the token of who took it last', async () => {
      const { placed, sql, claimed, endingOf, settle, effect, jobInWords } = open();
      const { order, eventId } = await placed();
      const work = await claimed('payment', eventId);
      const done = effectWith('authorization', {
        ...work.subject.effects.authorization,
        state: 'done',
        reference: 'auth-1',
      });
      // A step that does not ask who holds it.
      const write = () =>
        settle([endingOf(work, { change: (record) => ({ order: record.order, events: [], effects: [done] }) })]);
      const take = (token: string) =>
        sql('UPDATE orders SET authorization_token = $2 WHERE id = $1', [order.id, token]);
      await take(someToken);
      await assert.rejects(write(), EntryFailedError);
      assert.deepEqual(await effect(order.id, 'authorization'), { state: 'intent', token: someToken });
      assert.equal(await jobInWords('payment', eventId), 'claimed 1/0');
      await take(work.token);
      assert.deepEqual(await write(), ['settled']);
      assert.deepEqual(await effect(order.id, 'authorization'), { state: 'done', token: work.token });
    });

    it('of a lease extends only one that still runs, and tells which are lost', async () => {
      const { placed, sql, system, claimed, doneWith, settleOnce, makeDue, job, keyOfEvent } = open();
      const heldBy = async () => {
        const { eventId } = await placed();
        const work = await claimed('payment', eventId);
        return { consumer: 'payment', ...keyOfEvent(eventId), token: work.token, work, eventId };
      };
      const [mine, over, ended, stolen] = [await heldBy(), await heldBy(), await heldBy(), await heldBy()];
      await makeDue('payment', over.eventId);
      await settleOnce(doneWith(ended.work, authorized));
      const foreign = { ...stolen, token: system.newToken() };
      const unknown = { consumer: 'payment', subject: system.newId(), version: 1, token: system.newToken() };
      const stolenBefore = await job('payment', stolen.eventId);
      const lost = await renewLeases(sql, [mine, over, ended, foreign, unknown], 7_200_000);
      assert.deepEqual([...lost].sort(), [over, ended, foreign, unknown].map(({ token }) => token).sort());
      const [row] = await sql<{ is_extended: boolean }>(
        `SELECT lease_until > clock_timestamp() + interval '1 hour' AS is_extended FROM jobs WHERE order_id = $1`,
        [mine.subject],
      );
      assert.equal(row?.is_extended, true);
      assert.deepEqual(await job('payment', stolen.eventId), stolenBefore);
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
      events_pkey: [{ id: id(2), position: 1_000_000_002 }],
      events_position_key: [{ id: id(2), order_id: id(2) }],
      events_version_check: [{ id: id(2), version: 0 }],
      events_data_check: [{ id: id(2), version: 2, data: JSON.stringify('x'.repeat(60_000)) }],
    },
  },
  jobs: {
    row: { order_id: id(1), version: 1, consumer: 'c', event_type: 'T' },
    refuses: {
      jobs_pkey: [{}],
      jobs_epoch_check: [{ version: 2, epoch: -1 }],
      jobs_attempt_check: [{ version: 2, attempt: -1 }],
      jobs_takeovers_check: [{ version: 2, takeovers: -1 }],
      jobs_claimed_have_a_lease: [
        { version: 2, token: id(9) },
        { version: 2, lease_until: at },
      ],
    },
  },
  subscriptions: { row: { event_type: 'T', consumer: 'c' }, refuses: { subscriptions_pkey: [{}] } },
  dependencies: { row: { name: 'c', down_since: at }, refuses: { dependencies_pkey: [{}] } },
  cursors: {
    row: { reader: 'c', read_to: 7, gaps: '{[2,4),[7,8)}' },
    refuses: {
      cursors_pkey: [{}],
      cursors_read_to_check: [{ reader: 'd', read_to: -1, gaps: '{}' }],
      cursors_gaps_lie_below: [{ reader: 'd', gaps: '{[2,9)}' }],
    },
  },
  dead_letters: {
    row: {
      id: id(1),
      order_id: id(1),
      version: 1,
      consumer: 'c',
      event_id: id(1),
      event_type: 'T',
      epoch: 0,
      failure_class: 'retryable',
      code: 'x',
      message: 'y',
      attempts: 1,
      failed_at: at,
    },
    refuses: {
      dead_letters_pkey: [{ version: 2 }],
      dead_letters_open: [{ id: id(2) }],
      dead_letters_attempts_check: [{ id: id(2), version: 2, attempts: -1 }],
      dead_letters_closed_how_check: [{ id: id(2), version: 2, closed_at: at, closed_how: 'lost' }],
      dead_letters_closed_say_how: [
        { id: id(2), version: 2, closed_at: at },
        { id: id(2), version: 2, closed_how: 'canceled' },
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
  search_rebuilds: {
    row: { kind: 'c', target: 'c-1', after: id(1), token: id(2), alive_at: at },
    refuses: { search_rebuilds_pkey: [{ target: 'c-2' }] },
  },
  order_documents: {
    row: { order_id: id(1), version: 1, created_at: at, words: "'phone'" },
    refuses: { order_documents_pkey: [{}], order_documents_version_check: [{ version: 0 }] },
  },
  replays: {
    row: {
      ...{ id: id(1), filter: '{}', created_at: at, reason: 'c', correlation_id: 'c-1', rate: null, canary: true },
      ...{ stop_share: 0.1, total: 1, total_is_at_least: false, state: 'done', stage: 0, stage_since: at, next_at: at },
    },
    refuses: {
      replays_pkey: [{}],
      replays_rate_check: [{ id: id(2), rate: 0 }],
      replays_stop_share_check: [{ id: id(2), stop_share: 1.1 }],
      replays_state_check: [{ id: id(2), state: 'lost' }],
      replays_stage_check: [{ id: id(2), stage: -1 }],
    },
  },
  replay_letters: {
    row: { replay_id: id(1), order_id: id(1), version: 1, consumer: 'c', letter_id: id(1), sent_at: at },
    refuses: {
      replay_letters_pkey: [{ letter_id: id(2) }],
      replay_letters_outcome_check: [{ version: 2, outcome: 'luck' }],
    },
  },
  pauses: {
    // Its time is over: it holds back nothing.
    row: { kind: 'consumer', name: 'c', reason: 'c', at, until: at },
    refuses: { pauses_pkey: [{}], pauses_kind_check: [{ kind: 'customer' }] },
  },
  processes: { row: { id: id(1), started_at: at, seen_at: at, state: '{}' }, refuses: { processes_pkey: [{}] } },
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
      for (const table of ['orders', 'events', 'dead_letters', 'audit_log', 'replays', 'processes']) {
        await sql(`DELETE FROM ${table} WHERE id = $1`, [id(1)]);
      }
      for (const table of ['jobs', 'attempts', 'idempotency_keys', 'order_documents', 'replay_letters']) {
        await sql(`DELETE FROM ${table} WHERE order_id = $1`, [id(1)]);
      }
      await sql(`DELETE FROM subscriptions WHERE consumer = 'c'`);
      await sql(`DELETE FROM pauses WHERE name = 'c'`);
      await sql(`DELETE FROM dependencies WHERE name = 'c'`);
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
         WHERE indisunique AND relnamespace = 'public'::regnamespace AND relname NOT LIKE 'schema\\_version%'
           AND relname NOT LIKE '%\\_before\\_jobs%' AND relname NOT LIKE 'deliveries%' AND relname NOT LIKE 'watermarks%'`,
      );
      const names = rows
        .map(({ name }) => name)
        .filter((name) => !/^(schema_version|deliveries|watermarks)/.test(name));
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
