// The console as files: what is served, under which policy, and to whom. What it does is seen in a browser
// (tests/clients/console.tools.ts).

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createTestServer } from './stub-desk.ts';

describe('the console', () => {
  it('serves each file that its page and its modules name, and allows no other script', async () => {
    const { app } = createTestServer();
    const seen = new Set<string>();
    const visit = async (url: string) => {
      if (seen.has(url)) return;
      seen.add(url);
      const { statusCode, headers, body } = await app.inject({ url });
      assert.equal(statusCode, 200, url);
      assert.match(
        String(headers['content-security-policy']),
        /default-src 'none'; script-src 'self'; style-src 'self';/,
      );
      if (url.endsWith('lit-html.js')) return;
      for (const [, , named = ''] of body.matchAll(/(href=|src=|from )["'](\.?\/[^"'#$]+)["']/g))
        if (!named.startsWith('/login')) await visit(new URL(named, 'http://orderly/console/').pathname);
    };
    await visit('/console');
    assert.ok(seen.size > 8, [...seen].join(' '));
    assert.ok(seen.has('/console/lit-html.js') && seen.has('/console/console.css'));
  });

  it('tells amounts to the last digit, with as many places as ISO 4217 gives the currency', async () => {
    const { app } = createTestServer();
    const textOf = async (name: string) => (await app.inject({ url: `/console/${name}` })).body;
    const urlOf = (text: string) => `data:text/javascript,${encodeURIComponent(text)}`;
    const served = (await textOf('money.js')).replace('./currencies.js', urlOf(await textOf('currencies.js')));
    const { money } = (await import(urlOf(served))) as { money: (minor: number, currency: string) => string };
    for (const [minor, currency, said] of [
      [9_007_199_254_740_991, 'USD', 'USD 90,071,992,547,409.91'],
      [7, 'EUR', 'EUR 0.07'],
      [100_000, 'HUF', 'HUF 1,000.00'],
      [2_500, 'JPY', 'JPY 2,500'],
      [1_234, 'KWD', 'KWD 1.234'],
      [1_500, 'IQD', 'IQD 1.500'],
      [12_345, 'CLF', 'CLF 1.2345'],
    ] as const)
      assert.equal(money(minor, currency).replace('\u00a0', ' '), said);
  });

  it('names no other host', async () => {
    const { app } = createTestServer();
    for (const file of ['', '/app.js', '/show.js', '/currencies.js', '/requests.js', '/console.css'])
      assert.doesNotMatch((await app.inject({ url: `/console${file}` })).body, /https?:\/\//);
  });

  it('is not there where it is switched off', async () => {
    const { app } = createTestServer({ console: false });
    for (const url of ['/console', '/console/app.js']) assert.equal((await app.inject({ url })).statusCode, 404, url);
  });

  it('leads to the form where a token is asked for', async () => {
    const { app } = createTestServer({}, { tokens: [{ name: 'ann', token: 'ann-0123456789abcdef' }] });
    const { statusCode, headers } = await app.inject({ url: '/console', headers: { accept: 'text/html' } });
    assert.equal(statusCode, 303);
    assert.equal(headers.location, '/login?next=%2Fconsole');
    assert.equal((await app.inject({ url: '/console/app.js' })).statusCode, 401);
  });
});
