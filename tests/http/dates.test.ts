// Dates of clients, on every route that takes one: what no calendar has is refused by name, and what is beyond all
// orders is answered.

import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import fc from 'fast-check';
import { parseDay, parseMoment } from '../../src/io/moments.ts';
import { assertProblem, placesOf } from './assert-problem.ts';
import { createTestServer } from './stub-desk.ts';

const { app } = createTestServer();
after(() => app.close());

const days = [
  '/analytics/orders',
  '/analytics/orders/countries',
  '/analytics/orders/reasons',
  '/analytics/orders/durations',
];
const nowhere = [
  '0006-11-47',
  '2026-13-01',
  '2026-00-10',
  '2026-02-30',
  '2025-02-29',
  '2026-11-21T24:00:00Z',
  '2026-11-21T23:60:00Z',
  '2026-11-21T23:59:60Z',
  '2026-11-31T00:00:00Z',
  '2026-11-21T00:00:00%2B24:00',
  '2026-11-21T00:00:00%2B01',
  '2026-11-21%2000:00:00Z',
  '2026-11-21T00:00:00',
  '%2B012026-11-21T00:00:00Z',
  '2026-11-21T00:00:00Z%0A',
  '2026-W47-6',
  '1795244400000',
  '٢٠٢٦-١١-٢١',
  '',
];
const beyond = ['0000-01-01T00:00:00Z', '0001-01-01T00:00:00%2B23:59', '9999-12-31T23:59:59-23:59'];

describe('a date of a client', () => {
  for (const path of [...days, '/orders']) {
    for (const name of ['from', 'to']) {
      it(`that no calendar has is refused as \`${name}\` of ${path}`, async () => {
        for (const date of nowhere) {
          const problem = assertProblem(await app.inject(`${path}?${name}=${date}`), 400, 'invalid-parameter');
          assert.deepEqual(placesOf(problem), [`query ${name}`], date);
          assert.match(problem.errors?.[0]?.detail ?? '', /^must /);
        }
      });
    }

    it(`beyond all years of a store is answered by ${path}`, async () => {
      for (const date of beyond) assert.equal((await app.inject(`${path}?from=${date}`)).statusCode, 200, date);
    });
  }

  it('is the moment that JavaScript reads, where that reads one and the calendar has it', () => {
    const moment = fc.date({ min: new Date('0001-01-02'), max: new Date('9999-12-30'), noInvalidDate: true });
    const offset = fc.constantFrom('Z', 'z', '+00:00', '-00:00', '+14:00', '-23:59', '+05:45', '+0545');
    fc.assert(
      fc.property(moment, offset, fc.constantFrom('T', 't'), (at, zone, between) => {
        const text = at.toISOString().replace('T', between).replace('Z', zone);
        assert.equal(parseMoment(text)?.getTime(), Date.parse(text.toUpperCase()));
        assert.equal(parseDay(text.slice(0, 10))?.toISOString().slice(0, 10), text.slice(0, 10));
      }),
    );
  });
});

describe('a query', () => {
  it('that is not percent-encoded UTF-8 is refused by the name of its parameter', async () => {
    for (const [query, name] of [
      ['q=%', 'q'],
      ['q=%zz', 'q'],
      ['limit=5&q=a%f', 'q'],
      ['q=%ff', 'q'],
      ['q=%ed%a0%80', 'q'],
      ['%=1', '%'],
    ] as const) {
      const problem = assertProblem(await app.inject(`/orders?${query}`), 400, 'invalid-parameter');
      assert.deepEqual(placesOf(problem), [`query ${name}`]);
      assert.match(problem.errors?.[0]?.detail ?? '', /percent-encoded/);
    }
    assert.equal((await app.inject('/orders?q=100%25%20%E7%81%AF')).statusCode, 200);
  });
});
