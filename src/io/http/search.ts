// The route of the search: orders by words and fields, newest first.
//
// Promises: what cannot be asked is refused by name, and nothing of what was asked is syntax; pages go by the
// time of creation, which never changes. Relies on the desk to show every order as the database has it.

import { Type } from 'typebox';
import { type Status, statuses } from '../../domain/order.ts';
import type { OrderDesk } from '../../flow/ports.ts';
import type { OrderPlace, SoughtWord } from '../../flow/projections/search-ports.ts';
import { questionWordsMax, wordsOfQuestion } from '../../flow/projections/search-words.ts';
import { countsSchema, described, orderRef, page, problemAnswers, toOrderBody } from './answers.ts';
import type { App } from './app.ts';
import { decodeCursor, encodeCursor } from './cursor.ts';
import { readDate } from './dates.ts';
import { readLimit } from './pages.ts';
import { invalidParameter } from './problems.ts';
import { ordersQuery, pageSizeDefault, requestHeaders } from './requests.ts';

const none = Object.fromEntries(statuses.map((status) => [status, 0])) as Record<Status, number>;

export function addSearchRoutes(app: App, desk: OrderDesk): void {
  app.get(
    '/orders',
    {
      preValidation: readLimit,
      schema: {
        operationId: 'findOrders',
        summary: 'Find orders, newest first',
        description:
          'An order is found a moment after it has changed, usually within a second. What is found is shown as it is ' +
          'now, and left out where it is in another status by now than was asked for: a page may be shorter than its ' +
          'limit, and the last one is the one without nextCursor. Read one order by its id for what is certainly current.',
        tags: ['orders'],
        headers: requestHeaders,
        querystring: ordersQuery,
        response: {
          200: described(
            Type.Object({ ...page(orderRef).properties, counts: Type.Optional(countsSchema) }),
            'One page of the orders',
          ),
          ...problemAnswers('invalid-parameter', 'unavailable'),
        },
      },
    },
    async (request) => {
      const { q, status, counts, customerEmail, productType, country, from, to, limit, cursor } = request.query;
      const words = q === undefined ? [] : toWords(q);
      // What has neither a letter nor a digit stands in no order.
      if (q !== undefined && words.length === 0) {
        return { items: [], nextCursor: null, ...(counts === 'true' ? { counts: none } : {}) };
      }
      const matching = {
        words,
        customerEmail: customerEmail?.toLowerCase() ?? null,
        productType: productType ?? null,
        country: country ?? null,
        from: readDate(from),
        to: readDate(to),
      };
      const after = cursor === undefined ? null : toAfter(cursor);
      // One after the other: a request takes one connection at a time.
      const { items, next } = await desk.find({
        ...matching,
        status: status ?? null,
        limit: limit ?? pageSizeDefault,
        after,
      });
      const counted = counts === 'true' ? await desk.count(matching) : null;
      return {
        items: items.map(toOrderBody),
        nextCursor: next === null ? null : encodeCursor({ at: next.createdAt, id: next.id }),
        ...(counted === null ? {} : { counts: { ...counted } }),
      };
    },
  );
}

function toWords(q: string): readonly SoughtWord[] {
  const words = wordsOfQuestion(q);
  if (words !== null) return words;
  throw invalidParameter({ in: 'query', name: 'q', detail: `must have at most ${questionWordsMax} words` });
}

function toAfter(cursor: string): OrderPlace {
  const { at, id } = decodeCursor(cursor);
  return { createdAt: at, id };
}
