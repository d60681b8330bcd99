// Finding orders over HTTP: what may be asked, and what is refused by name.

import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import fc from 'fast-check';
import type { OrderQuery } from '../../src/flow/projections/search-ports.ts';
import { assertProblem } from './assert-problem.ts';
import { createTestServer } from './stub-desk.ts';

const { app, calls } = createTestServer();
const asked = () => calls.findLast(({ name }) => name === 'find')?.args[0] as OrderQuery;
const find = (query: string) => app.inject(`/orders?${query}`);

describe('finding orders', () => {
  after(() => app.close());

  it('asks for words and fields as they are given', async () => {
    const query =
      'q=Blue%20lamp&status=FAILED&customerEmail=Ada%40Example.com&productType=Phone&country=DE' +
      '&from=2026-11-21T07:00:00Z&to=2026-11-21T09:00:00%2B01:00&limit=7';
    assert.equal((await find(query)).statusCode, 200);
    const { words, ...rest } = asked();
    assert.deepEqual(
      words.map(({ word }) => word),
      ['blue', 'lamp'],
    );
    assert.deepEqual(rest, {
      status: 'FAILED',
      customerEmail: 'ada@example.com',
      productType: 'Phone',
      country: 'DE',
      from: new Date('2026-11-21T07:00:00Z'),
      to: new Date('2026-11-21T08:00:00Z'),
      limit: 7,
      after: null,
    });
  });

  it('counts by status where that is asked for, of all that match in any status', async () => {
    const { counts } = (await find('q=lamp&status=FAILED&counts=true')).json();
    assert.deepEqual(counts, { PENDING: 1, PROCESSING: 0, PROCESSED: 10_000, FAILED: 0, CANCELED: 2 });
    const [counted] = (calls.findLast(({ name }) => name === 'count')?.args ?? []) as OrderQuery[];
    assert.deepEqual([counted?.words.map(({ word }) => word), counted?.status], [['lamp'], undefined]);
    for (const query of ['', 'counts=false']) assert.ok(!('counts' in (await find(query)).json()), query);
  });

  it('finds nothing by what has neither a letter nor a digit, and does not look for it', async () => {
    const before = calls.length;
    assert.deepEqual((await find('q=***')).json(), { items: [], nextCursor: null });
    const counts = { PENDING: 0, PROCESSING: 0, PROCESSED: 0, FAILED: 0, CANCELED: 0 };
    assert.deepEqual((await find('q=*&counts=true')).json(), { items: [], nextCursor: null, counts });
    assert.equal(calls.length, before);
  });

  it('goes on page by page to the last one', async () => {
    for (let count = 0; count < 5; count += 1) {
      await app.inject({ method: 'POST', url: '/orders', payload: { userId: `u-${count}`, amount: 1 } });
    }
    const seen: string[] = [];
    for (let cursor: string | null = ''; cursor !== null; ) {
      const page: { items: { id: string }[]; nextCursor: string | null } = (
        await find(`limit=2${cursor === '' ? '' : `&cursor=${cursor}`}`)
      ).json();
      seen.push(...page.items.map(({ id }) => id));
      cursor = page.nextCursor;
    }
    assert.equal(seen.length, 5);
    assert.equal(new Set(seen).size, 5);
  });

  it('refuses by name what cannot be asked', async () => {
    const before = calls.length;
    for (const [query, name] of [
      ['q=', 'q'],
      [`q=${'x'.repeat(10_000)}`, 'q'],
      [`q=${'a%20'.repeat(1)}b%00`, 'q'],
      [`q=${Array.from({ length: 11 }, (_, nth) => `w${nth}`).join('%20')}`, 'q'],
      ['q=one&q=two', 'q'],
      ['status=DONE', 'status'],
      ['customerEmail=nobody', 'customerEmail'],
      ['country=Germany', 'country'],
      ['from=yesterday', 'from'],
      ['to=2026-12-31T23:59:60Z', 'to'],
      ['limit=0', 'limit'],
      ['limit=101', 'limit'],
      ['cursor=bm90IG91cnM', 'cursor'],
      ['counts=yes', 'counts'],
      ['sort=asc', 'sort'],
    ] as const) {
      const answer = await find(query);
      assertProblem(answer, 400, 'invalid-parameter');
      const { errors } = answer.json();
      assert.equal(errors[0]?.name, name, query);
    }
    assert.equal(calls.length, before);
  });

  it('answers or refuses whatever is asked, and never breaks', async () => {
    const hostile = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 300 }),
      fc.constantFrom(
        "' OR 1=1 --",
        '{"match_all":{}}',
        '*'.repeat(199),
        'a* OR b:*',
        "\\'; DROP TABLE orders",
        ':* & !',
        '%',
      ),
    );
    await fc.assert(
      fc.asyncProperty(hostile, async (q) => {
        const { statusCode } = await find(`q=${encodeURIComponent(q.toWellFormed())}`);
        assert.ok(statusCode === 200 || statusCode === 400, `${statusCode}`);
      }),
      { numRuns: 200 },
    );
  });
});
