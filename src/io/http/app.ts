// What the files of this folder share about the server: its type, and the settings that change what it
// accepts.
//
// Promises: a schema given to a route of this type is the type of what the route gets and answers.
// Relies on fastify's types alone; nothing here runs.

import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import type {
  FastifyBaseLogger,
  FastifyInstance,
  RawReplyDefaultExpression,
  RawRequestDefaultExpression,
  RawServerDefault,
} from 'fastify';

export type App = FastifyInstance<
  RawServerDefault,
  RawRequestDefaultExpression,
  RawReplyDefaultExpression,
  FastifyBaseLogger,
  TypeBoxTypeProvider
>;

declare module 'fastify' {
  interface FastifyRequest {
    // Who asks, by the name of the token; null where nobody is asked.
    operator: string | null;
  }
}

export type HttpSettings = {
  // `required`: placing an order without Idempotency-Key is refused.
  readonly keyMode: 'optional' | 'required';
  // Whether orders may say how the payment provider shall behave.
  readonly simulatedPartners: boolean;
  // Whether the page of the document is served, and the document itself.
  readonly docs: boolean;
  // Whether the page for operators is served.
  readonly console: boolean;
};
