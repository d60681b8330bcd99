// The routes of the dead-letter list: see what waits for a person, send it back to work, or end it.
//
// Promises: the list is read page by page through an opaque cursor; a reprocess answers 202, because the
// work begins after the answer; what is discarded is discarded for a reason. Relies on the desk to take all open
// dead letters of an order at once.

import { Type } from 'typebox';
import type { DeadLetterFilter } from '../../flow/dead-letters.ts';
import type { OrderDesk } from '../../flow/ports.ts';
import {
  bodyProblems,
  deadLetterRef,
  described,
  orderRef,
  page,
  problemAnswers,
  toDeadLetterBody,
  toOrderBody,
} from './answers.ts';
import type { App } from './app.ts';
import { cursorPattern, decodeCursor, encodeCursor } from './cursor.ts';
import { letterFilter, toSelection } from './letter-filter.ts';
import { readNumbers } from './pages.ts';
import { orThrow } from './problems.ts';
import {
  correctBody,
  deadLetterParams,
  discardBody,
  emptyBody,
  noQuery,
  orderOfDeadLettersParams,
  pageSize,
  pageSizeDefault,
  requestHeaders,
  toOrderId,
} from './requests.ts';

const deadLettersQuery = Type.Object(
  {
    ...letterFilter,
    state: Type.Optional(Type.Enum(['open', 'closed'], { type: 'string', default: 'open' })),
    limit: Type.Optional(pageSize),
    cursor: Type.Optional(Type.String({ pattern: cursorPattern, description: 'The nextCursor of the page before' })),
  },
  { additionalProperties: false },
);

const refusedReprocess = problemAnswers(
  'invalid-body',
  'invalid-json',
  'invalid-parameter',
  'no-dead-letter',
  'earlier-letter-open',
  'order-already-processed',
  'order-already-canceled',
  'order-not-failed',
  'unavailable',
  'outcome-unknown',
);

export function addDeadLetterRoutes(app: App, desk: OrderDesk): void {
  app.get(
    '/dlq',
    {
      preValidation: readNumbers('limit', 'amountMin', 'amountMax'),
      links: {
        200: {
          reprocessOrder: { operationId: 'reprocessOrder', parameters: { orderId: '$response.body#/items/0/orderId' } },
          reprocessLetter: { operationId: 'reprocessLetter', parameters: { id: '$response.body#/items/0/id' } },
          nextPage: { operationId: 'listDeadLetters', parameters: { cursor: '$response.body#/nextCursor' } },
        },
      },
      schema: {
        operationId: 'listDeadLetters',
        summary: 'Dead letters, newest first',
        description:
          'A page may be shorter than its limit, even empty, where few of many are selected: `nextCursor` goes on.',
        tags: ['dead letters'],
        headers: requestHeaders,
        querystring: deadLettersQuery,
        response: {
          200: described(page(deadLetterRef), 'One page of the list'),
          ...problemAnswers('invalid-parameter', 'unavailable'),
        },
      },
    },
    async (request) => {
      const { limit = pageSizeDefault, cursor, state, ...filter } = request.query;
      const { items, next } = await desk.deadLetters({
        ...toSelection(filter),
        limit,
        after: cursor === undefined ? null : toAfter(cursor),
        isClosed: state === 'closed',
      });
      return {
        items: items.map(toDeadLetterBody),
        nextCursor: next === null ? null : encodeCursor({ at: next.failedAt, id: next.id }),
      };
    },
  );

  app.post(
    '/dlq/:orderId/reprocess',
    {
      schema: {
        operationId: 'reprocessOrder',
        summary: 'Send all open dead letters of an order back to work',
        tags: ['dead letters'],
        headers: requestHeaders,
        params: orderOfDeadLettersParams,
        querystring: noQuery,
        body: emptyBody,
        response: { 202: described(orderRef, 'The order, PENDING again if it was FAILED'), ...refusedReprocess },
      },
    },
    async (request, reply) => {
      reply.code(202);
      return toOrderBody(
        orThrow(await desk.reprocess(toOrderId(request.params.orderId), request.id, request.operator)),
      );
    },
  );

  app.post(
    '/dlq/letters/:id/reprocess',
    {
      schema: {
        operationId: 'reprocessLetter',
        summary: 'Send one dead letter back to work',
        tags: ['dead letters'],
        headers: requestHeaders,
        params: deadLetterParams,
        querystring: noQuery,
        body: emptyBody,
        response: {
          202: described(
            Type.Object({ order: orderRef }),
            'The order of the dead letter, PENDING again if it was FAILED',
          ),
          ...refusedReprocess,
        },
      },
    },
    async (request, reply) => {
      const order = orThrow(
        await desk.reprocessDeadLetter(request.params.id.toLowerCase(), request.id, request.operator),
      );
      reply.code(202);
      return { order: toOrderBody(order) };
    },
  );

  app.post(
    '/dlq/letters/:id/discard',
    {
      schema: {
        operationId: 'discardLetter',
        summary: 'End one dead letter without its work being done, with a reason for the audit log',
        tags: ['dead letters'],
        headers: requestHeaders,
        params: deadLetterParams,
        querystring: noQuery,
        body: discardBody,
        response: {
          200: described(Type.Object({ order: orderRef }), 'The order of the dead letter'),
          ...problemAnswers(
            ...bodyProblems,
            'no-dead-letter',
            'order-needs-cancel',
            'order-already-processed',
            'unavailable',
            'outcome-unknown',
          ),
        },
      },
    },
    async (request) => {
      const { params, body, id: correlationId, operator } = request;
      const asked = [params.id.toLowerCase(), body.reason, correlationId, operator, body.cancelOrder] as const;
      return { order: toOrderBody(orThrow(await desk.discardDeadLetter(...asked))) };
    },
  );

  app.post(
    '/dlq/letters/:id/correct',
    {
      schema: {
        operationId: 'correctLetter',
        summary: 'Correct the address of a mail that could not be sent, and send its dead letter back to work',
        tags: ['dead letters'],
        headers: requestHeaders,
        params: deadLetterParams,
        querystring: noQuery,
        body: correctBody,
        response: {
          202: described(Type.Object({ order: orderRef }), 'The order of the dead letter, with the address'),
          ...problemAnswers(
            ...bodyProblems,
            'no-dead-letter',
            'earlier-letter-open',
            'not-correctable',
            'unavailable',
            'outcome-unknown',
          ),
        },
      },
    },
    async (request, reply) => {
      const { params, body, id: correlationId, operator } = request;
      const order = orThrow(await desk.correctDeadLetter(params.id.toLowerCase(), body, correlationId, operator));
      reply.code(202);
      return { order: toOrderBody(order) };
    },
  );
}

function toAfter(cursor: string): DeadLetterFilter['after'] {
  const { at, id } = decodeCursor(cursor);
  return { failedAt: at, id };
}
