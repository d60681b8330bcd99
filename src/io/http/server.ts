// The HTTP server: everything that holds for every request, and where the routes are put together.
//
// Promises: every answer carries X-Correlation-Id; every error is a problem document, also those that
// node and fastify would write themselves (a broken request line, a slow client, a closing server).
// On close no new connection is taken, running requests are answered, and what still arrives on an open
// connection gets 503: nothing of it was stored.
// Relies on the desk to bound its own time: no answer is given before the desk's, because what is under
// way there may be stored a moment later.

import type { IncomingMessage, ServerResponse } from 'node:http';
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import Fastify, { type FastifyInstance, type FastifyRequest } from 'fastify';
import type { Log, System } from '../../engine/ports.ts';
import { silentTracer, type Tracer } from '../../engine/tracer.ts';
import type { OperatorDesk } from '../../flow/operators/ports.ts';
import type { OrderDesk } from '../../flow/ports.ts';
import type { Gate } from '../gate.ts';
import { addAnalyticsRoutes } from './analytics.ts';
import { sharedSchemas } from './answers.ts';
import type { HttpSettings } from './app.ts';
import { readJsonBodies, settleContentType } from './bodies.ts';
import { createBulkhead } from './bulkhead.ts';
import { addConsoleRoutes } from './console.ts';
import { dateFormats } from './dates.ts';
import { addDeadLetterRoutes } from './dead-letters.ts';
import { addDocument, addDocumentRoutes } from './document.ts';
import { answerClientError, answerExpectation, answerProblem, isRead, toProblem, toRefusal } from './failures.ts';
import { framingMistake } from './framing.ts';
import { createGuard, type Operator } from './guard.ts';
import { correlationIdPattern, isCorrelationId, safeguards } from './headers.ts';
import { addOperatorRoutes } from './letters.ts';
import { addLoginRoutes, askOperator } from './login.ts';
import { toInvalid } from './mistakes.ts';
import { addOperationRoutes, type Readiness, type Scrape } from './operations.ts';
import { addOrderRoutes } from './orders.ts';
import { invalidParameter, ProblemError } from './problems.ts';
import { patternTexts } from './requests.ts';
import { addSearchRoutes } from './search.ts';
import { idsOf, traceRequests } from './traced.ts';

// 64 KiB hold an order of 100 lines many times over; parsing that much costs under a millisecond.
const bodyLimitBytes = 65_536;
// A request has to arrive in this time, its headers in the shorter one; a client that drips bytes to hold
// connections is let go.
const requestTimeoutMs = 30_000;
const headersTimeoutMs = 10_000;
// Longer than the 60 s after which common load balancers let go of an idle connection, so that they do
// it first and never send a request into a connection that we are closing.
const keepAliveTimeoutMs = 72_000;
// A connection on which nothing moved for this long is dead: a client that does not read its answers, or
// one that is gone. Far above what the desk may take.
const connectionTimeoutMs = 120_000;

const nothingAtAll = 'There is nothing at this address';
const nothingButHealth = 'There is nothing at this address; this process has /healthz, /readyz and /metrics.';

export type HttpDependencies = {
  // Null = the process takes no orders: health and metrics alone are served.
  readonly desk: OrderDesk | null;
  // There where the desk is.
  readonly operators: OperatorDesk | null;
  readonly system: System;
  readonly log: Log;
  // From then on an answer ends its connection, so that the next request comes to another process.
  readonly isLeaving?: () => boolean;
  readonly readiness: () => Promise<Readiness>;
  readonly metrics: Scrape;
  // Told of each route at the start, and of each answer.
  readonly watch?: HttpWatch;
  readonly tracer?: Tracer;
  readonly settings: HttpSettings;
  // Requests that may meet the database at once, each on one connection; placing orders is none of them.
  readonly readsMax: number;
  // Searches at once, beside them; null = they are among them.
  readonly searchesMax?: number | null;
  // Who may not even ask.
  readonly gate: Gate;
  // Who may ask for what is not public; none = anybody.
  readonly tokens: readonly Operator[];
};

export type HttpWatch = {
  readonly route: (method: string, route: string, statuses: readonly string[]) => void;
  readonly answered: (method: string, route: string | undefined, status: number, seconds: number) => void;
};

export function createHttpServer({
  desk,
  system,
  log,
  isLeaving = () => false,
  readiness,
  metrics,
  watch,
  tracer = silentTracer,
  settings,
  readsMax,
  searchesMax = null,
  gate,
  tokens,
  operators,
}: HttpDependencies): FastifyInstance {
  let closing = false;
  const bulkhead = createBulkhead({ slotsMax: readsMax, searchesMax, system });
  const guard = createGuard({ operators: tokens, system, log });
  const correlationIdOf = (request: IncomingMessage) => {
    const given = request.headers['x-correlation-id'];
    return isCorrelationId(given) ? given : system.newId();
  };

  const app = Fastify({
    logger: false,
    genReqId: correlationIdOf,
    bodyLimit: bodyLimitBytes,
    requestTimeout: requestTimeoutMs,
    keepAliveTimeout: keepAliveTimeoutMs,
    connectionTimeout: connectionTimeoutMs,
    // Without a Host header node would answer 400 with no body; see `admit`.
    http: { headersTimeout: headersTimeoutMs, requireHostHeader: false },
    // Our own 503 says more than fastify's.
    return503OnClosing: false,
    // An id of any length is the schema's to refuse; node bounds the request line.
    routerOptions: { maxParamLength: 16_384, ignoreTrailingSlash: true },
    ajv: {
      customOptions: {
        allErrors: true,
        verbose: true,
        coerceTypes: false,
        removeAdditional: false,
        useDefaults: false,
        allowUnionTypes: true,
      },
      onCreate: (ajv) => {
        for (const [format, validate] of Object.entries(dateFormats))
          ajv.addFormat(format, { type: 'string', validate });
      },
    },
    schemaErrorFormatter: toInvalid,
    frameworkErrors: (error, request, reply) => void answerProblem(toProblem(error, request, log), request, reply),
    clientErrorHandler: (error, socket) => answerClientError(error, socket, system.newId()),
  }).withTypeProvider<TypeBoxTypeProvider>();

  app.server.on('checkExpectation', (request: IncomingMessage, response: ServerResponse) =>
    answerExpectation(response, correlationIdOf(request)),
  );
  app.addHook('preClose', async () => {
    closing = true;
  });
  // Per connection the request that came last: a client may send the next one before it has an answer.
  const latest = new WeakMap<object, IncomingMessage>();
  app.addHook('onRequest', (request, reply, done) => {
    // What came in one piece with the requests for which its connection was ended.
    if (request.raw.socket.destroyed) return void reply.hijack();
    latest.set(request.raw.socket, request.raw);
    reply.headers({ ...safeguards, 'x-correlation-id': request.id });
    done(bulkhead.count(request, reply) ?? admit(request));
  });
  app.decorateRequest('operator', null);
  if (guard.asks) app.addHook('onRequest', askOperator(guard, desk !== null));
  // Closing waits for every connection; one that is kept alive after an answer would end only with its client.
  // What was taken in before it on the same connection is answered too.
  app.addHook('onSend', ({ raw }, reply, payload, done) => {
    if ((closing || isLeaving()) && latest.get(raw.socket) === raw) reply.header('connection', 'close');
    done(null, payload);
  });
  app.addHook('onResponse', (request, reply, done) => {
    const { method, routeOptions } = request;
    watch?.answered(method, routeOptions.url, reply.statusCode, reply.elapsedTime / 1_000);
    const ms = Math.round(reply.elapsedTime);
    log.debug({ method, route: routeOptions.url, status: reply.statusCode, ms, ...idsOf(request) }, 'answered');
    done();
  });
  app.addHook('onRoute', ({ method, url, schema }) => {
    const statuses = Object.keys((schema?.response as object | undefined) ?? {}).filter((key) => /^\d{3}$/.test(key));
    for (const one of [method].flat()) if (one !== 'HEAD') watch?.route(one, url, statuses);
  });
  app.setErrorHandler((error, request, reply) => answerProblem(toProblem(error, request, log), request, reply));
  // Reached from a plugin only; `admit` refuses what no route takes before its body is read.
  app.setNotFoundHandler((request, reply) => answerProblem(nothingHere(request), request, reply));

  function admit(request: FastifyRequest): Error | undefined {
    const { headers } = request;
    if (closing) {
      const retryAfter = { headers: { 'retry-after': '1' } };
      const stopping = isRead(request) ? 'This process is stopping.' : 'This process is stopping. Nothing was stored.';
      return new ProblemError('unavailable', stopping, retryAfter);
    }
    const given = headers['x-correlation-id'];
    if (given !== undefined && given !== request.id) {
      const detail = patternTexts[correlationIdPattern] ?? '';
      return invalidParameter({ in: 'header', name: 'X-Correlation-Id', detail });
    }
    if (headers.host === undefined && request.raw.httpVersionMinor === 1) {
      return invalidParameter({ in: 'header', name: 'Host', detail: 'is required' });
    }
    const turnedAway = gate(request.raw);
    if (turnedAway !== null) return toRefusal(turnedAway);
    const mistake = framingMistake(request.raw);
    if (mistake !== null) return mistake;
    if (request.is404) return nothingHere(request);
    settleContentType(headers);
    return undefined;
  }

  function nothingHere({ method, url }: FastifyRequest): ProblemError {
    const [path = '/'] = url.split(/[?#]/);
    const allowed = ['GET', 'HEAD', 'POST'].filter((other) => app.findRoute({ method: other as 'GET', url: path }));
    // A file that the page of the document lacks is looked for under an allowed method.
    if (allowed.length === 0 || allowed.includes(method)) {
      return new ProblemError(
        'not-found',
        desk === null ? nothingButHealth : `${nothingAtAll}${settings.docs ? '; see /docs' : ''}.`,
      );
    }
    const allow = allowed.join(', ');
    return new ProblemError('method-not-allowed', `${method} is not allowed here, but ${allow}.`, {
      headers: { allow },
    });
  }

  for (const schema of sharedSchemas) app.addSchema(schema);
  readJsonBodies(app);
  if (desk !== null && settings.docs) addDocument(app, guard.asks);
  if (desk !== null) {
    app.register(async (routes) => {
      bulkhead.bound(routes, () => 'turn');
      addLoginRoutes(routes.withTypeProvider<TypeBoxTypeProvider>(), guard);
      if (settings.console) addConsoleRoutes(routes);
      if (settings.docs) addDocumentRoutes(routes.withTypeProvider<TypeBoxTypeProvider>());
    });
    app.register(async (routes) => {
      const typed = routes.withTypeProvider<TypeBoxTypeProvider>();
      const orders = ({ method }: { method: unknown }) => (method === 'POST' ? 'attended' : 'search');
      bulkhead.bound(routes, (route) => (route.url === '/orders' ? orders(route) : 'slot'));
      traceRequests(routes, tracer);
      addOrderRoutes(typed, desk, settings);
      addSearchRoutes(typed, desk);
      addDeadLetterRoutes(typed, desk);
      if (operators !== null) addOperatorRoutes(typed, operators, system.now);
      addAnalyticsRoutes(typed, desk.analytics);
    });
  }
  app.register(async (routes) => {
    bulkhead.bound(routes, () => 'turn');
    addOperationRoutes(routes.withTypeProvider<TypeBoxTypeProvider>(), readiness, metrics);
  });
  return app;
}
