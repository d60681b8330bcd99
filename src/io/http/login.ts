// The way in for people: a form that takes an operator's token and gives the browser a session.
//
// Promises: works without a script; the token is in no address and no log; leads to a path of this service alone. The
// form is no part of the published document, which is for programs: they send the token with each request.
// Relies on the guard for what a session is, and on the gate to turn away forms of other sites.

import { createHash } from 'node:crypto';
import type { FastifyReply, onRequestHookHandler } from 'fastify';
import { Type } from 'typebox';
import type { App } from './app.ts';
import { formType } from './bodies.ts';
import { type Guard, toCookie } from './guard.ts';
import { ProblemError } from './problems.ts';

const style =
  ':root{color-scheme:light dark}body{font:1rem/1.5 system-ui,sans-serif;max-width:22rem;margin:15vh auto;padding:0 1rem}' +
  'input,button{font:inherit;width:100%;box-sizing:border-box;padding:.5rem;margin:.25rem 0 1rem}[role=alert]{color:#c22}';
const styleHash = createHash('sha256').update(style).digest('base64');
const contentSecurityPolicy = `default-src 'none'; style-src 'sha256-${styleHash}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'`;

// A path of our own in visible ASCII; `//host` and `/\host` lead elsewhere.
const ownPath = /^\/(?![/\\])[!-~]{0,500}$/;
const home = '/';
const toOwnPath = (next: unknown) => (typeof next === 'string' && ownPath.test(next) ? next : home);

// Of every request; a person who opens a page is shown the way in.
export function askOperator(guard: Guard, hasForm: boolean): onRequestHookHandler {
  return (request, reply, done) => {
    let refusal: unknown;
    try {
      request.operator = guard.admit(request.raw, request.routeOptions.url);
    } catch (error) {
      refusal = error;
    }
    const isPage = hasForm && request.method === 'GET' && request.headers.accept?.includes('text/html') === true;
    if (!isPage || !(refusal instanceof ProblemError) || refusal.code !== 'unauthorized') return done(refusal as Error);
    reply.redirect(`/login?next=${encodeURIComponent(toOwnPath(request.url))}`, 303);
  };
}

const fields = Type.Object({ token: Type.String(), next: Type.Optional(Type.String()) });

export function addLoginRoutes(app: App, guard: Guard): void {
  app.addContentTypeParser<string>(formType, { parseAs: 'string', bodyLimit: 8_192 }, (_request, body, done) => {
    done(null, Object.fromEntries(new URLSearchParams(body)));
  });

  app.get('/login', { schema: { hide: true } }, async ({ query }, reply) => {
    const next = toOwnPath((query as { next?: unknown }).next);
    return guard.asks ? page(reply, next, null) : reply.redirect(next, 303);
  });

  app.post('/login', { schema: { hide: true, body: fields } }, async ({ raw, body }, reply) => {
    const next = toOwnPath(body.next);
    const session = guard.login(raw, body.token);
    if (session === null) return page(reply.code(401), next, 'This token is not known here.');
    return reply.header('set-cookie', session.cookie).redirect(next, 303);
  });

  app.post('/logout', { schema: { hide: true } }, async ({ raw }, reply) =>
    reply.header('set-cookie', toCookie(raw, '', 0)).redirect('/login', 303),
  );

  app.get('/session', { schema: { hide: true } }, async ({ raw }) => {
    const session = guard.session(raw);
    return { isAsked: guard.asks, operator: session?.operator ?? null, expiresAt: session?.expiresAt ?? null };
  });
}

function page(reply: FastifyReply, next: string, complaint: string | null): FastifyReply {
  const said = complaint === null ? '' : `<p role="alert">${complaint}</p>`;
  return reply
    .type('text/html; charset=utf-8')
    .header('content-security-policy', contentSecurityPolicy)
    .send(`<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Orderly: log in</title><style>${style}</style></head><body><main><h1>Orderly</h1>${said}
<form method="post" action="/login"><input type="hidden" name="next" value="${escaped(next)}">
<label for="token">Operator token</label>
<input id="token" name="token" type="password" required autofocus autocomplete="current-password">
<button>Log in</button></form></main></body></html>`);
}

const escaped = (text: string) => text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
