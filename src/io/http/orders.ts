// The routes of orders: place, read, follow, cancel.
//
// Promises: nothing reaches the desk that its schema did not admit; a repeated request under the same key
// gets the first answer again, marked as replayed, with the correlation id of the first.
// Relies on the desk for idempotency and on the error answers of problems.ts for every no.

import { Type } from 'typebox';
import type { OrderDesk } from '../../flow/ports.ts';
import {
  bodyProblems,
  described,
  orderRef,
  problemAnswers,
  timelineEntryRef,
  toOrderBody,
  toTimelineBody,
} from './answers.ts';
import type { App, HttpSettings } from './app.ts';
import { parseIdempotencyKey } from './headers.ts';
import { orThrow } from './problems.ts';
import {
  cancelBody,
  noQuery,
  orderParams,
  placeHeaders,
  realOrder,
  requestHeaders,
  simulatedOrder,
  toOrderId,
} from './requests.ts';
import { traceparentOf } from './traced.ts';

// Where the answer to a new order has its id, for whoever follows the links of the document.
const placed = '$response.body#/id';

export function addOrderRoutes(app: App, desk: OrderDesk, settings: HttpSettings): void {
  app.post(
    '/orders',
    {
      links: {
        201: {
          order: { operationId: 'readOrder', parameters: { id: placed } },
          timeline: { operationId: 'readTimeline', parameters: { id: placed } },
          cancel: { operationId: 'cancelOrder', parameters: { id: placed } },
        },
      },
      schema: {
        operationId: 'placeOrder',
        summary: 'Place an order',
        tags: ['orders'],
        headers: placeHeaders[settings.keyMode],
        querystring: noQuery,
        body: settings.simulatedPartners ? simulatedOrder : realOrder,
        response: {
          201: described(orderRef, 'The order, or the first answer to this key again', {
            Location: 'The address of the order',
            'Idempotent-Replayed': 'true on the second and every later answer to one key',
          }),
          ...problemAnswers(...bodyProblems, 'idempotency-key-reused', 'unavailable', 'outcome-unknown'),
        },
      },
    },
    async (request, reply) => {
      const { order, replayed } = orThrow(
        await desk.place({
          command: request.body,
          received: request.body,
          key: parseIdempotencyKey(request.headers['idempotency-key']),
          correlationId: request.id,
          traceparent: traceparentOf(request),
        }),
      );
      reply.code(201).header('location', `/orders/${order.id}`);
      if (replayed) reply.header('idempotent-replayed', 'true').header('x-correlation-id', order.correlationId);
      return toOrderBody(order);
    },
  );

  app.get(
    '/orders/:id',
    {
      schema: {
        operationId: 'readOrder',
        summary: 'Read an order',
        tags: ['orders'],
        headers: requestHeaders,
        params: orderParams,
        querystring: noQuery,
        response: {
          200: described(orderRef, 'The order'),
          ...problemAnswers('invalid-parameter', 'order-not-found', 'unavailable'),
        },
      },
    },
    async (request) => toOrderBody(orThrow(await desk.read(toOrderId(request.params.id)))),
  );

  app.get(
    '/orders/:id/timeline',
    {
      schema: {
        operationId: 'readTimeline',
        summary: 'Everything that happened to an order, oldest first',
        tags: ['orders'],
        headers: requestHeaders,
        params: orderParams,
        querystring: noQuery,
        response: {
          200: described(Type.Object({ items: Type.Array(timelineEntryRef) }), 'The timeline'),
          ...problemAnswers('invalid-parameter', 'order-not-found', 'unavailable'),
        },
      },
    },
    async (request) => ({
      items: orThrow(await desk.timeline(toOrderId(request.params.id))).map(toTimelineBody),
    }),
  );

  app.post(
    '/orders/:id/cancel',
    {
      schema: {
        operationId: 'cancelOrder',
        summary: 'Cancel an order; what was done for it is undone',
        tags: ['orders'],
        headers: requestHeaders,
        params: orderParams,
        querystring: noQuery,
        body: cancelBody,
        response: {
          200: described(orderRef, 'The order, CANCELED; canceling it again changes nothing'),
          ...problemAnswers(
            ...bodyProblems,
            'order-not-found',
            'order-already-processed',
            'unavailable',
            'outcome-unknown',
          ),
        },
      },
    },
    async (request) => {
      const { id } = request.params;
      return toOrderBody(
        orThrow(await desk.cancel(toOrderId(id), request.body?.reason ?? null, request.id, request.operator)),
      );
    },
  );
}
