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

  it('names no other host', async () => {
    const { app } = createTestServer();
    for (const file of ['', '/app.js', '/show.js', '/requests.js', '/console.css'])
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
