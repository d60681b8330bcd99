// A span for each request to the desk, from its headers to its answer.
//
// Promises: continues the trace of a request that has one (W3C Trace Context; its `tracestate` is not carried on). What
// is called by a handler finds the request as the current span. No path, parameter or body is kept: they may name a
// customer. Nothing is traced of health, metrics and documents.

import type { FastifyInstance, FastifyRequest, RouteHandlerMethod } from 'fastify';
import { type Span, silentTracer, type Tracer } from '../../engine/tracer.ts';
import { parseTraceparent } from './headers.ts';

const spans = new WeakMap<FastifyRequest, Span>();

// To be called before the routes are added.
export function traceRequests(routes: FastifyInstance, tracer: Tracer): void {
  if (tracer === silentTracer) return;
  routes.addHook('onRequest', (request, _, done) => {
    const { method, routeOptions, id } = request;
    const attributes = () => ({
      'http.request.method': method,
      'http.route': routeOptions.url ?? '',
      'url.scheme': request.protocol,
      'orderly.correlation.id': id,
    });
    const parent = parseTraceparent(request.headers.traceparent)?.traceparent ?? null;
    spans.set(request, tracer.start({ name: `${method} ${routeOptions.url}`, kind: 'server', parent, attributes }));
    done();
  });
  routes.addHook('onResponse', (request, { statusCode }, done) => {
    const error = statusCode >= 500 ? String(statusCode) : null;
    spans.get(request)?.end({ 'http.response.status_code': statusCode }, error);
    done();
  });
  // Fastify makes HEAD of GET, with the handler as it is by then.
  const traced = new WeakSet<object>();
  routes.addHook('onRoute', (route) => {
    if (traced.has(route.handler)) return;
    const { handler } = route;
    const within: RouteHandlerMethod = function (request, reply) {
      const span = spans.get(request);
      const handle = () => handler.call(this, request, reply);
      return span === undefined ? handle() : tracer.within(span, handle);
    };
    route.handler = within;
    traced.add(within);
  });
}

// What events of this request belong to; null = neither it nor who sent it is traced.
export function traceparentOf(request: FastifyRequest): string | null {
  return spans.get(request)?.traceparent ?? parseTraceparent(request.headers.traceparent)?.traceparent ?? null;
}

export const traceIdOf = (request: FastifyRequest): string | null => traceparentOf(request)?.slice(3, 35) ?? null;

// For a line of the log.
export function idsOf(request: FastifyRequest): { readonly correlationId: string; readonly traceId?: string } {
  const traceId = traceIdOf(request);
  return { correlationId: request.id, ...(traceId === null ? {} : { traceId }) };
}
