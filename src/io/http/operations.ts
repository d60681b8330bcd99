// The routes for those who run the service: is it alive, is it ready, how does it fare.
//
// Promises: liveness asks nobody, so that a database outage restarts no process; readiness is what the
// caller of createHttpServer says it is. Unknown query parameters are let through here: probes and
// scrapers add their own.

import { type Static, Type } from 'typebox';
import { shared } from '../shared.ts';
import { described, problemAnswers } from './answers.ts';
import type { App } from './app.ts';

const verdict = Type.Enum(['ok', 'failed'], { type: 'string' });
const readinessSchema = Type.Object({
  status: verdict,
  checks: Type.Array(
    Type.Object({
      name: Type.String(),
      status: verdict,
      detail: Type.Unsafe<string | null>({ type: ['string', 'null'] }),
    }),
  ),
});
export type Readiness = Static<typeof readinessSchema>;
// The format that `accept` prefers; the text format of Prometheus where it says nothing.
export type Scrape = (accept: string | undefined) => Promise<{ readonly contentType: string; readonly body: string }>;

export function addOperationRoutes(app: App, isReady: () => Promise<Readiness>, scrape: Scrape): void {
  // A crowd of probes costs the database one question.
  const readiness = shared(isReady);
  app.get(
    '/healthz',
    {
      schema: {
        operationId: 'liveness',
        summary: 'Whether the process lives',
        tags: ['operations'],
        response: {
          200: described(Type.Object({ status: Type.Literal('ok') }), 'It lives'),
          ...problemAnswers('invalid-parameter'),
        },
      },
    },
    async () => ({ status: 'ok' as const }),
  );

  app.get(
    '/readyz',
    {
      schema: {
        operationId: 'readiness',
        summary: 'Whether requests can be served now',
        tags: ['operations'],
        response: {
          200: described(readinessSchema, 'Ready'),
          503: described(readinessSchema, 'Not ready; the failed checks say why'),
          ...problemAnswers('invalid-parameter'),
        },
      },
    },
    async (_request, reply) => {
      const answer = await readiness();
      return reply.code(answer.status === 'ok' ? 200 : 503).send(answer);
    },
  );

  app.get(
    '/metrics',
    {
      schema: {
        operationId: 'metrics',
        summary: 'Metrics for Prometheus',
        tags: ['operations'],
        description: 'In the text format of Prometheus, or in OpenMetrics where `Accept` prefers it.',
        produces: ['text/plain', 'application/openmetrics-text'],
        response: {
          200: described(Type.String(), 'Prometheus or OpenMetrics'),
          ...problemAnswers('invalid-parameter'),
        },
      },
    },
    async (request, reply) => {
      const { contentType, body } = await scrape(request.headers.accept);
      return reply.type(contentType).send(body);
    },
  );
}
