// The OpenAPI document and its page for people, both made from the schemas of the routes.
//
// Promises: a route that is not in the document does not exist, because one schema makes both. The page
// loads nothing from elsewhere. Must be added before the routes, or it does not see them.

import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import type { FastifyInstance } from 'fastify';
import { Type } from 'typebox';
import manifest from '../../../package.json' with { type: 'json' };
import { described, problemAnswers } from './answers.ts';
import type { App } from './app.ts';
import { published } from './published.ts';

// Swagger UI sets styles and an inline image; scripts come from here alone.
const contentSecurityPolicy =
  "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; " +
  "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

// `asks` = operators have to show a token.
export function addDocument(app: FastifyInstance, asks: boolean): void {
  app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Orderly',
        version: manifest.version,
        description:
          'Takes orders and brings each to one valid end. Amounts are whole minor units; errors are RFC 9457 problem ' +
          'documents with a stable `code`; X-Correlation-Id is returned on every answer.',
        license: { name: 'MIT', identifier: 'MIT' },
      },
      // Wherever the document was read.
      servers: [{ url: '/' }],
      security: [],
      ...(asks ? { components: { securitySchemes: { operator: { type: 'http', scheme: 'bearer' } } } } : {}),
      tags: [
        { name: 'orders', description: 'Place, read, follow and cancel' },
        { name: 'dead letters', description: 'What gave up, and the way back' },
        { name: 'analytics', description: 'How many orders and how much money stand where' },
        { name: 'operations', description: 'Probes and metrics; keep them behind a gateway' },
      ],
    },
    refResolver: { buildLocalReference: (schema, _base, _fragment, index) => String(schema.$id ?? `schema-${index}`) },
    transformObject: (made) => published(made, asks),
  });
}

export function addDocumentRoutes(app: App): void {
  app.register(swaggerUi, {
    routePrefix: '/docs',
    staticCSP: contentSecurityPolicy,
    theme: { title: 'Orderly' },
    // Without the bar of the standalone page, which loads other documents.
    uiConfig: { displayRequestDuration: true, layout: 'BaseLayout' },
  });
  // Written once: that takes milliseconds in which nobody else is served.
  let document: Buffer | null = null;
  app.get('/', { schema: { hide: true } }, async (_request, reply) => reply.redirect('/docs'));
  app.get(
    '/openapi.json',
    {
      schema: {
        operationId: 'openapi',
        summary: 'This document',
        tags: ['operations'],
        response: {
          200: described(Type.Unsafe<object>({ type: 'object', additionalProperties: true }), 'OpenAPI 3.1'),
          ...problemAnswers('invalid-parameter'),
        },
      },
    },
    async (_request, reply) => {
      document ??= Buffer.from(JSON.stringify(app.swagger()));
      return reply.type('application/json; charset=utf-8').send(document);
    },
  );
}
