import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { linesMax } from '../../src/flow/projections/analytics.ts';
import { assertProblem } from './assert-problem.ts';
import { createTestServer } from './stub-desk.ts';

const { app, desk, calls } = createTestServer();
after(() => app.close());

const rangeOf = async (query: string) => {
  calls.length = 0;
  const answer = await app.inject(`/analytics/orders${query}`);
  assert.equal(answer.statusCode, 200, answer.body);
  return calls.map(({ args }) => args[0]);
};

describe('GET /analytics/orders', () => {
  it('answers the lines in full, sums beyond what a number holds included', async () => {
    const answer = await app.inject('/analytics/orders');
    const line = '{"day":"2026-11-21","status":"PROCESSED","currency":"EUR","count":2,"amount":9007199254740993}';
    assert.equal(answer.body, `{"items":[${line}]}`);
  });

  it('takes days and times, from the first one on and before the last one', async () => {
    assert.deepEqual(await rangeOf(''), [{ from: null, to: null }]);
    assert.deepEqual(await rangeOf('?from=2026-11-01&to=2026-12-01'), [{ from: '2026-11-01', to: '2026-12-01' }]);
    assert.deepEqual(await rangeOf('?from=2026-11-01T23:30:00-01:00'), [{ from: '2026-11-02', to: null }]);
    assert.deepEqual(await rangeOf('?to=2026-11-02T00:00:00Z'), [{ from: null, to: '2026-11-02' }]);
    assert.deepEqual(await rangeOf('?to=2026-11-02T00:00:00.001Z'), [{ from: null, to: '2026-11-03' }]);
    assert.deepEqual(await rangeOf('?from=2026-11-03&to=2026-11-02'), [{ from: '2026-11-03', to: '2026-11-02' }]);
    assert.deepEqual(await rangeOf('?from=2026-11-02&to=2026-11-02'), [{ from: '2026-11-02', to: '2026-11-02' }]);
  });

  it('takes the ends of all days without a database that knows them', async () => {
    const [first, last] = ['0001-01-01', '9999-12-31'];
    assert.deepEqual(await rangeOf('?from=0000-01-01&to=9999-12-31T23:59:59Z'), [{ from: first, to: last }]);
    assert.deepEqual(await rangeOf('?from=9999-12-31T23:59:59-23:59'), [{ from: last, to: null }]);
    assert.deepEqual(await rangeOf('?to=0000-01-01T00:00:00%2B23:59'), [{ from: null, to: first }]);
  });

  it('refuses what is no day and what is no parameter', async () => {
    const queries = ['?from=yesterday', '?to=2026-02-30', '?from=2026-11-21T00:00:00+01:00', '?from=', '?day=1'];
    for (const query of [...queries, '?from=2026-11-21&from=2026-11-22']) {
      assertProblem(await app.inject(`/analytics/orders${query}`), 400, 'invalid-parameter');
    }
  });

  it('refuses an answer of too many lines instead of cutting it', async () => {
    const line = { day: '2026-11-21', status: 'PENDING', currency: 'EUR', count: 1, amount: 1n } as const;
    const analytics = { ...desk.analytics, statuses: async () => Array.from({ length: linesMax + 1 }, () => line) };
    const large = createTestServer({}, { desk: { ...desk, analytics } });
    assertProblem(await large.app.inject('/analytics/orders'), 400, 'invalid-parameter');
    await large.app.close();
  });

  it('has countries, reasons and durations beside it', async () => {
    const answers = await Promise.all(
      ['countries', 'reasons', 'durations'].map((one) => app.inject(`/analytics/orders/${one}?from=2026-11-21`)),
    );
    const line = { day: '2026-11-21', currency: 'EUR', count: 1, amount: 2_500 };
    const durations = { count: 2, p50Ms: 80, p90Ms: 120, p95Ms: 120, p99Ms: 120 };
    assert.deepEqual(
      answers.map((answer) => answer.json()),
      [
        { items: [{ ...line, status: 'PENDING', country: 'DE' }] },
        { items: [{ ...line, kind: 'declined', code: 'no-funds' }] },
        { items: [{ day: '2026-11-21', ...durations }], all: durations },
      ],
    );
  });
});
