// Who may ask what: tokens, sessions, and what is public. The clock is the test's.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createGuard } from '../../src/io/http/guard.ts';
import { createSystem } from '../../src/io/system.ts';
import { createTestServer } from './stub-desk.ts';

const ann = { name: 'ann', token: 'ann-0123456789abcdef' };
const bob = { name: 'bob', token: 'bob-0123456789abcdef' };
const bearer = (token: string) => ({ authorization: `Bearer ${token}` });

function setUp(operators = [ann, bob]) {
  let elapsedMs = 0;
  const system = {
    ...createSystem(),
    now: () => new Date(1_795_000_000_000 + elapsedMs),
    monotonicMs: () => elapsedMs,
  };
  const server = createTestServer({}, { tokens: operators, system });
  const pass = (ms: number) => {
    elapsedMs += ms;
  };
  return { ...server, pass };
}

async function login({ app }: Pick<ReturnType<typeof setUp>, 'app'>, token: string, next = '/dlq') {
  const payload = new URLSearchParams({ token, next }).toString();
  const headers = { 'content-type': 'application/x-www-form-urlencoded' };
  const answer = await app.inject({ method: 'POST', url: '/login', headers, payload });
  return { answer, cookie: String(answer.headers['set-cookie'] ?? '').split(';')[0] ?? '' };
}

describe('the guard of the operators’ routes', () => {
  it('asks nobody where there is no token', async () => {
    const { app } = setUp([]);
    for (const url of ['/dlq', '/metrics', '/openapi.json']) {
      assert.equal((await app.inject({ url })).statusCode, 200, url);
    }
    const document = (await app.inject({ url: '/openapi.json' })).json();
    assert.equal(document.components.securitySchemes, undefined);
    assert.deepEqual((await app.inject({ url: '/session' })).json(), {
      isAsked: false,
      operator: null,
      expiresAt: null,
    });
  });

  it('asks for a token on every route but those of customers and probes', async () => {
    const { app } = setUp();
    const document = (await app.inject({ url: '/openapi.json', headers: bearer(ann.token) })).json();
    const open: string[] = [];
    for (const [path, methods] of Object.entries<Record<string, { security?: object[] }>>(document.paths)) {
      for (const [method, { security }] of Object.entries(methods)) {
        const url = path.replace(/\{\w+\}/g, '01993b1e-7c3a-7d4e-9f10-000000000001');
        const answer = await app.inject({ method: method.toUpperCase() as 'GET', url });
        const isAsked = answer.statusCode === 401;
        assert.equal(isAsked, security !== undefined, `${method} ${path}`);
        if (!isAsked) open.push(`${method} ${path}`);
        else {
          assert.equal(answer.json().code, 'unauthorized');
          assert.match(String(answer.headers['www-authenticate']), /^Bearer/);
        }
      }
    }
    assert.deepEqual(open.sort(), [
      'get /healthz',
      'get /orders',
      'get /orders/{id}',
      'get /orders/{id}/timeline',
      'get /readyz',
      'post /orders',
      'post /orders/{id}/cancel',
    ]);
    for (const url of ['/docs', '/docs/static/index.css']) {
      assert.equal((await app.inject({ url })).statusCode, 401, url);
    }
    assert.equal((await app.inject({ url: '/nothing' })).statusCode, 404);
  });

  it('asks for it on the port of a worker too', async () => {
    const { app } = createTestServer({}, { desk: null, operators: null, tokens: [ann] });
    assert.equal((await app.inject({ url: '/metrics', headers: { accept: 'text/html' } })).statusCode, 401);
    assert.equal((await app.inject({ url: '/metrics', headers: bearer(ann.token) })).statusCode, 200);
    assert.equal((await app.inject({ url: '/readyz' })).statusCode, 200);
  });

  it('takes each operator’s token, and nothing that is like one', async () => {
    const { app } = setUp();
    for (const { token } of [ann, bob]) {
      assert.equal((await app.inject({ url: '/dlq', headers: bearer(token) })).statusCode, 200);
    }
    for (const authorization of ['Bearer', 'Bearer x', `Basic ${ann.token}`, `Bearer ${ann.token}x`, ann.token]) {
      assert.equal((await app.inject({ url: '/dlq', headers: { authorization } })).statusCode, 401, authorization);
    }
  });

  it('stops listening to an address after ten wrong tokens, for a minute, and logs each without the token', async () => {
    const { app, pass, logged } = setUp();
    const { cookie } = await login({ app }, ann.token);
    for (let tries = 0; tries < 10; tries += 1) {
      assert.equal((await app.inject({ url: '/dlq', headers: bearer('a-wrong-token-000') })).statusCode, 401);
    }
    const warnings = logged.filter(({ level }) => level === 'warn');
    assert.equal(warnings.length, 10);
    assert.doesNotMatch(JSON.stringify(logged), /a-wrong-token/);
    const refused = await app.inject({ url: '/dlq', headers: bearer(ann.token) });
    assert.equal(refused.statusCode, 429);
    assert.equal(refused.json().code, 'too-many-attempts');
    assert.equal(refused.headers['retry-after'], '60');
    // Who is in already is not shut out by others.
    assert.equal((await app.inject({ url: '/dlq', headers: { cookie } })).statusCode, 200);
    pass(60_000);
    assert.equal((await app.inject({ url: '/dlq', headers: bearer(ann.token) })).statusCode, 200);
  });

  it('shows a person the form, and leads back to the page with a session that only this site can use', async () => {
    const world = setUp();
    const asked = await world.app.inject({ url: '/docs?x=1', headers: { accept: 'text/html' } });
    assert.equal(asked.statusCode, 303);
    assert.equal(asked.headers.location, '/login?next=%2Fdocs%3Fx%3D1');
    const form = await world.app.inject({ url: String(asked.headers.location) });
    assert.match(form.body, /name="next" value="\/docs\?x=1"/);
    assert.match(String(form.headers['content-security-policy']), /default-src 'none'.*frame-ancestors 'none'/);
    const { answer, cookie } = await login(world, bob.token, '/docs?x=1');
    assert.equal(answer.statusCode, 303);
    assert.equal(answer.headers.location, '/docs?x=1');
    assert.match(String(answer.headers['set-cookie']), /; HttpOnly; SameSite=Strict$/);
    assert.equal((await world.app.inject({ url: '/dlq', headers: { cookie } })).statusCode, 200);
    assert.equal((await world.app.inject({ url: '/session', headers: { cookie } })).json().operator, 'bob');
    const left = await world.app.inject({ method: 'POST', url: '/logout', headers: { cookie } });
    assert.match(String(left.headers['set-cookie']), /^orderly_session=; Path=\/; Max-Age=0/);
  });

  it('says that a token is wrong, and leads to no other site', async () => {
    const world = setUp();
    const { answer, cookie } = await login(world, 'a-wrong-token-000');
    assert.equal(answer.statusCode, 401);
    assert.match(answer.body, /not known here/);
    assert.equal(cookie, '');
    for (const next of ['//evil.example', '/\\evil.example', 'https://evil.example', 'evil', '/a b']) {
      assert.equal((await login(world, ann.token, next)).answer.headers.location, '/', next);
    }
    const form = await world.app.inject({ url: '/login?next=/%22%3E%3Cscript%3E' });
    assert.doesNotMatch(form.body, /<script>/);
  });

  it('lets a session change things from its own pages alone', async () => {
    const world = setUp();
    const { cookie } = await login(world, ann.token);
    const url = '/dlq/letters/01993b1e-7c3a-7d4e-9f10-000000000001/reprocess';
    const ask = (headers: Record<string, string>) =>
      world.app.inject({ method: 'POST', url, headers: { cookie, ...headers } });
    assert.equal((await ask({})).json().code, 'cross-site');
    assert.equal((await ask({ 'sec-fetch-site': 'same-site' })).json().code, 'cross-site');
    // What another origin sends, the gate before this turns away.
    assert.equal((await ask({ 'sec-fetch-site': 'same-origin' })).statusCode, 404);
    assert.equal((await ask({ origin: 'http://localhost:80' })).statusCode, 404);
  });

  it('ends a session after twelve hours, and with its token', async () => {
    const world = setUp();
    const { cookie } = await login(world, ann.token);
    const ask = (app: typeof world.app, given: string) => app.inject({ url: '/dlq', headers: { cookie: given } });
    const changed = setUp([{ name: 'ann', token: 'ann-another-token-0' }, bob]);
    assert.equal((await ask(changed.app, cookie)).statusCode, 401);
    assert.equal((await ask(world.app, cookie.replace('ann.', 'bob.'))).statusCode, 401);
    const [name, , signature] = cookie.split('=')[1]?.split('.') ?? [];
    assert.equal((await ask(world.app, `orderly_session=${name}.zzzzzzzz.${signature}`)).statusCode, 401);
    world.pass(12 * 3_600_000 - 1);
    assert.equal((await ask(world.app, cookie)).statusCode, 200);
    world.pass(1);
    assert.equal((await ask(world.app, cookie)).statusCode, 401);
  });

  it('marks the session as secure where the browser came by TLS', () => {
    const request = { headers: { origin: 'https://orders.example' }, socket: {} } as never;
    const quiet = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
    const guard = createGuard({ operators: [ann], system: createSystem(), log: quiet });
    assert.match(guard.login(request, ann.token)?.cookie ?? '', /; Secure$/);
  });
});
