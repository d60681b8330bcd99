import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Outcome } from '../../src/engine/observer.ts';
import { type Log, type Trouble, UnavailableError } from '../../src/engine/ports.ts';
import { isToldOf, NotConnectedError } from '../../src/io/postgres/errors.ts';
import { createEventsLog } from '../../src/io/telemetry/events-log.ts';
import { orderWith, personal, workOn } from '../support/orders.ts';
import { createVirtualSystem } from '../support/virtual-system.ts';

const record = { order: orderWith({}), effects: {} };
const trouble: Trouble = {
  class: 'retryable',
  code: 'provider-unavailable',
  message: `no mailbox ${personal.customerEmail}`,
  dependencyDown: false,
  dependency: 'payments',
};
const outcome = { state: 'done', dueInMs: 0, charged: true, trouble: null, durationMs: 12 } satisfies Outcome;
const ids = {
  consumer: 'payment',
  attempt: 1,
  orderId: record.order.id,
  eventId: '01993b1e-7c3a-7d4e-9f10-00000000fac7',
  correlationId: 'c-1',
};

function setUp() {
  const lines: { level: string; message: string; fields: object }[] = [];
  const keep = (level: string) => (fields: object, message: string) => void lines.push({ level, message, fields });
  const log: Log = { debug: keep('debug'), info: keep('info'), warn: keep('warn'), error: keep('error') };
  const system = createVirtualSystem();
  const names = { payments: 'the payment provider at pay.example' };
  const told = createEventsLog({ log, system, maxRetries: 3, isTold: isToldOf, names });
  return { told, lines, system };
}

describe('the log of what happens to orders', () => {
  it('tells of each end of an attempt with the ids to search by, and of what failed by its code alone', () => {
    const { told, lines } = setUp();
    told.settled(workOn(record), outcome, 'settled');
    told.settled(workOn(record), { ...outcome, state: 'waiting', dueInMs: 900.4, trouble }, 'settled');
    told.settled(workOn(record), { ...outcome, state: 'dead', trouble }, 'settled');
    const why = { code: 'provider-unavailable', class: 'retryable', dependency: 'payments' };
    assert.deepEqual(
      lines.map(({ fields }) => fields),
      [
        { ...ids, durationMs: 12 },
        { ...ids, durationMs: 12, delayMs: 900, ...why },
        { ...ids, durationMs: 12, ...why },
      ],
    );
    assert.ok(!JSON.stringify(lines).includes(personal.customerEmail));
  });

  it('says by its level whose turn it is: a retry is info, the last one a warning, a dead letter an error', () => {
    const { told, lines } = setUp();
    const waits = { ...outcome, state: 'waiting', trouble } as const;
    for (const attempt of [1, 2, 3]) told.settled(workOn(record, { attempt }), waits, 'settled');
    told.settled(workOn(record, { attempt: 4 }), { ...outcome, state: 'dead', trouble }, 'settled');
    told.settled(workOn(record, { attempt: 3 }), { ...waits, charged: false }, 'settled');
    told.settled(workOn(record), outcome, 'stale');
    told.claimed('payment', { answer: 'run', work: workOn(record, { takenOver: true }) });
    told.claimed('payment', { answer: 'run', work: workOn(record) });
    assert.deepEqual(
      lines.map(({ level }) => level),
      ['info', 'info', 'warn', 'error', 'info', 'warn', 'warn'],
    );
  });

  it('tells of an order when it is accepted, when it ends and when a person sends it back', () => {
    const { told, lines } = setUp();
    const event = workOn(record).event;
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    told.committed([
      { ...event, traceparent },
      { ...event, version: 2, type: 'PaymentAuthorizedV1' },
      { ...event, version: 3, data: { status: 'PROCESSED' } },
      { ...event, version: 3, data: { status: 'PENDING' } },
    ]);
    assert.deepEqual(
      lines.map(({ message }) => message),
      ['order accepted', 'order ended', 'order sent back to work'],
    );
    const [accepted] = lines;
    assert.ok(accepted && 'traceId' in accepted.fields);
    assert.equal(accepted.fields.traceId, '0af7651916cd43dd8448eb211c80319c');
  });

  it('tells of a partner that is away once, and once that it is back', async () => {
    const { told, lines, system } = setUp();
    told.breakerChanged('payments', 'open', 'partner-unavailable');
    await system.advance(61_000);
    told.breakerChanged('payments', 'closed');
    assert.deepEqual(
      lines.map(({ level, message }) => `${level}: ${message.split(';')[0]}`),
      [
        'warn: the payment provider at pay.example cannot be used: partner-unavailable',
        'warn: the payment provider at pay.example still cannot be used: partner-unavailable',
        'info: the payment provider at pay.example is back after 61 s',
      ],
    );
  });

  it('leaves it to the outage of the database that work could not be settled', () => {
    const { told, lines } = setUp();
    const away = new NotConnectedError(new Error('connect ECONNREFUSED'));
    told.unsettled(workOn(record), new UnavailableError('unknown', 'the database does not answer', 1, { cause: away }));
    told.unsettled(workOn(record), new Error('a defect'));
    assert.deepEqual(
      lines.map(({ level }) => level),
      ['debug', 'error'],
    );
  });
});
