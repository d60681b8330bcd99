// The sandbox: the simulated partners behind HTTP, with their ledger open to audits and their stage
// open to directions. The outside oracle of the tests.
//
// Promises: a 200 leaves after its effect is durable. A call that is meant to hang hangs until the
// client goes away or the sandbox closes. Nobody is authenticated, so it belongs on loopback or a
// private network; the directions reach the simulation and nothing else.
// Relies on local.ts for every behavior; what is here is the way in and out.

import { type TypeBoxTypeProvider, TypeBoxValidatorCompiler } from '@fastify/type-provider-typebox';
import Fastify, { type FastifyReply } from 'fastify';
import type { OrderId } from '../../domain/order.ts';
import { type Log, OutsideError, type System } from '../../engine/ports.ts';
import type { Gate } from '../gate.ts';
import { parseMoment } from '../moments.ts';
import { directionText, orRepeated, sendFault, sendTrouble } from './faults.ts';
import type { Entry, Ledger } from './ledger.ts';
import { createLocalPartners } from './local.ts';
import * as messages from './messages.ts';
import type { Direction, Stage } from './stage.ts';

export type SandboxServerOptions = {
  readonly ledger: Ledger;
  readonly stage: Stage;
  readonly system: Pick<System, 'now' | 'newId'>;
  readonly log: Log;
  // Who may not even ask.
  readonly gate: Gate;
  // See local.ts.
  readonly hasTombstones?: boolean;
};
export type SandboxServer = {
  // Answers the URL, with the port that was taken where 0 was asked for.
  readonly listen: (at: { readonly host: string; readonly port: number }) => Promise<string>;
  readonly close: () => Promise<void>;
};

function toSecond(given: string | undefined, absent: number): number {
  if (given === undefined) return absent;
  const moment = parseMoment(given);
  if (moment !== null) return Math.floor(moment.getTime() / 1000);
  throw Object.assign(new Error(`${given} is no time of RFC 3339 that exists`), { statusCode: 400 });
}

// What stands at the door, for whoever opens it in a browser.
const introduction = {
  what: 'The sandbox of Orderly: a simulated payment provider, carrier and mail partner, with a durable ledger',
  partners: Object.values(messages.paths).map((path) => `POST ${path}`),
  ledger: ['GET /ledger', 'GET /ledger/orders', 'GET /ledger/summary', 'GET /ledger/calls', 'GET /ledger/traffic'],
  directions: ['GET /control', 'POST /control', 'DELETE /control'],
  direction: directionText,
  health: 'GET /healthz',
};

function toAudited({ expiresAtMs, createdAtMs, changedAtMs, terms, ...entry }: Entry) {
  return {
    ...entry,
    terms: terms === null ? null : (JSON.parse(terms) as Record<string, unknown>),
    expiresAt: expiresAtMs === null ? null : new Date(expiresAtMs).toISOString(),
    createdAt: new Date(createdAtMs).toISOString(),
    changedAt: new Date(changedAtMs).toISOString(),
  };
}

export function createSandboxServer(options: SandboxServerOptions): SandboxServer {
  const { ledger, stage, log, gate } = options;
  const { payments, carrier, mail } = createLocalPartners(options);
  const app = Fastify({ bodyLimit: messages.maxRequestBytes }).withTypeProvider<TypeBoxTypeProvider>();
  app.setValidatorCompiler(TypeBoxValidatorCompiler);

  app.addHook('onRequest', async ({ raw }, reply) => {
    const turnedAway = gate(raw);
    if (turnedAway === null) return;
    const { reason, detail } = turnedAway;
    const status = { 'host-repeated': 400, misdirected: 421, 'cross-site': 403 }[reason];
    return sendFault(reply, status, { code: reason, message: detail, retryable: false });
  });

  // Everything else is answered within the turn it arrives in, so on closing these are the calls that
  // hang: cut off, or closing would wait for their clients.
  const unanswered = new Set<FastifyReply>();
  app.addHook('preClose', async () => {
    for (const reply of unanswered) reply.raw.destroy();
  });

  async function answered<A>(reply: FastifyReply, call: (signal: AbortSignal) => Promise<A>): Promise<A> {
    const gone = new AbortController();
    reply.raw.once('close', () => gone.abort());
    unanswered.add(reply);
    try {
      return await call(gone.signal);
    } finally {
      unanswered.delete(reply);
    }
  }

  app.setErrorHandler((error: Error & { statusCode?: number }, request, reply) => {
    // Nobody is left to hear the answer.
    if (reply.raw.destroyed) return reply.hijack();
    if (error instanceof OutsideError) {
      if (error.trouble.class === 'unknown') log.error({ error }, 'The simulated partners cannot work');
      return sendTrouble(reply, error);
    }
    const status = error.statusCode ?? 500;
    if (status < 500) {
      const message = request.routeOptions.url === '/control' ? directionText : error.message;
      return sendFault(reply, status, { code: 'invalid-request', message, retryable: false });
    }
    log.error({ error }, 'The sandbox failed to answer');
    return sendFault(reply, 500, { code: 'internal', message: 'The sandbox failed to answer.', retryable: false });
  });

  app.setNotFoundHandler((_request, reply) =>
    sendFault(reply, 404, {
      code: 'not-found',
      message: 'There is nothing at this address; see GET /.',
      retryable: false,
    }),
  );
  app.get('/', () => introduction);

  // The ids of orders are opaque here.
  const ofOrder = <R extends { orderId: string }>(request: R) => request as R & { orderId: OrderId };
  const { paths } = messages;
  app.post(paths.authorize, { schema: { body: messages.AuthorizeRequest } }, ({ body }, reply) =>
    answered(reply, async (signal) => orRepeated(reply, await payments.authorize(ofOrder(body), signal))),
  );
  app.post(paths.void, { schema: { body: messages.UndoRequest } }, ({ body }, reply) =>
    answered(reply, (signal) => payments.void(ofOrder(body), signal)),
  );
  app.post(paths.findAuthorization, { schema: { body: messages.LookupRequest } }, ({ body }, reply) =>
    answered(reply, async (signal) => ({ found: await payments.lookup(body.key, signal) })),
  );
  app.post(paths.book, { schema: { body: messages.BookRequest } }, ({ body }, reply) =>
    answered(reply, async (signal) => orRepeated(reply, await carrier.book(ofOrder(body), signal))),
  );
  app.post(paths.recall, { schema: { body: messages.UndoRequest } }, ({ body }, reply) =>
    answered(reply, (signal) => carrier.recall(ofOrder(body), signal)),
  );
  app.post(paths.findBooking, { schema: { body: messages.LookupRequest } }, ({ body }, reply) =>
    answered(reply, async (signal) => ({ found: await carrier.lookup(body.key, signal) })),
  );
  app.post(paths.send, { schema: { body: messages.SendRequest } }, ({ body }, reply) =>
    answered(reply, async (signal) => {
      await mail.send(ofOrder(body), signal);
      return { outcome: 'sent' };
    }),
  );

  app.get('/ledger', { schema: { querystring: messages.LedgerQuery } }, ({ query }): messages.LedgerPage => {
    const { orderId = null, cursor = '0', limit = 500 } = query;
    const entries = ledger.entries({ orderId, afterPosition: Number(cursor), limit });
    const last = entries.length === limit ? entries.at(-1) : undefined;
    return { items: entries.map(toAudited), nextCursor: last === undefined ? null : String(last.position) };
  });
  app.get(
    '/ledger/orders',
    { schema: { querystring: messages.LedgerOrdersQuery } },
    ({ query }): messages.LedgerPage => {
      const { from = null, upTo = null, cursor, limit = 500 } = query;
      const [, position = '', orderId = ''] = /^(\d+) (.+)$/s.exec(cursor ?? '') ?? [];
      const after = cursor === undefined ? null : { orderId, position: Number(position) };
      const entries = ledger.entriesByOrder({ from, upTo, after, limit });
      const last = entries.length === limit ? entries.at(-1) : undefined;
      return {
        items: entries.map(toAudited),
        nextCursor: last === undefined ? null : `${last.position} ${last.orderId}`,
      };
    },
  );
  app.get('/ledger/summary', () => ({ items: ledger.counts() }));
  app.get('/ledger/calls', { schema: { querystring: messages.CallsQuery } }, ({ query }) => ({
    items: ledger.callsOf(query.orderId),
  }));
  app.get('/ledger/traffic', { schema: { querystring: messages.TrafficQuery } }, ({ query }) => {
    const from = toSecond(query.from, 0);
    const to = toSecond(query.to, Number.MAX_SAFE_INTEGER);
    return { items: ledger.traffic(from, to) };
  });
  app.get('/healthz', () => ({ status: 'ok' }));

  app.post('/control', { schema: { body: messages.Direction } }, ({ body }, reply) => {
    if (stage.direct(body as Direction)) return stage.state();
    return sendFault(reply, 409, { code: 'too-many-cues', message: 'Too many cues are unspent.', retryable: false });
  });
  app.get('/control', () => stage.state());
  app.delete('/control', () => {
    stage.clear();
    return stage.state();
  });

  return {
    listen: ({ host, port }) => app.listen({ host, port }),
    close: () => app.close(),
  };
}
