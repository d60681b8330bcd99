// The routes that tell why there are dead letters: causes, one with all that is known of it, and what people did.
//
// Promises: each answers within a bounded time, whatever the database holds; a count that was cut says so.

import { type Static, Type } from 'typebox';
import { type GroupKey, groupKeys, type OperatorDesk } from '../../flow/operators/ports.ts';
import { correctable } from '../../flow/orders/correct-dead-letter.ts';
import { coreConsumers } from '../../flow/subscriptions.ts';
import {
  countSchema,
  deadLetterRef,
  described,
  id,
  integer,
  orderRef,
  orNull,
  page,
  problemAnswers,
  timelineEntryRef,
  toDeadLetterBody,
  toOrderBody,
  toTimelineBody,
  written,
} from './answers.ts';
import type { App } from './app.ts';
import { cursorPattern, decodeCursor, encodeCursor } from './cursor.ts';
import { moment, readDate } from './dates.ts';
import { letterFilter, toSelection } from './letter-filter.ts';
import { readLimit, readNumbers } from './pages.ts';
import { orThrow } from './problems.ts';
import { addReplayRoutes } from './replays.ts';
import { deadLetterParams, namePattern, noQuery, pageSize, pageSizeDefault, requestHeaders, uuid } from './requests.ts';
import { addWaitingRoutes } from './waiting.ts';

const word = Type.String();
const time = Type.String({ format: 'date-time' });
const optional = Type.Optional;
const strict = { additionalProperties: false } as const;

const byPattern = `^(?:${groupKeys.join('|')})(?:,(?:${groupKeys.join('|')}))*$`;
const groupsQuery = Type.Object(
  {
    ...letterFilter,
    by: optional(
      Type.String({
        pattern: byPattern,
        maxLength: 100,
        default: 'consumer,code,partner',
        description: `What they have in common, several separated by commas: ${groupKeys.join(', ')}`,
      }),
    ),
  },
  strict,
);
const group = Type.Object(
  {
    ...{ consumer: optional(word), code: optional(word), partner: optional(orNull(word)), country: optional(word) },
    ...{ currency: optional(word), amountMin: optional(integer()), amountMax: optional(integer()) },
    ...{ from: optional(time), to: optional(time) },
  },
  { description: 'What they have in common, by the names of the filter' },
);
const groups = Type.Object({
  items: Type.Array(
    Type.Object({
      group,
      ...countSchema,
      oldestAt: time,
      newestAt: time,
      sampleId: id('The newest of them'),
      sampleMessage: word,
    }),
  ),
  total: Type.Object(countSchema),
  lookedBackTo: orNull(
    Type.String({
      format: 'date-time',
      description: 'Set where there are too many to look at: the groups are of the newest, back to this time',
    }),
  ),
});

const verdict = Type.Boolean();
const story = Type.Object({
  letter: deadLetterRef,
  order: orderRef,
  event: Type.Object({
    ...{ id: id(), type: word, version: integer(), time },
    data: Type.Unsafe<Record<string, unknown>>({ type: 'object', additionalProperties: true }),
    ...{ correlationId: word, causationId: orNull(word) },
  }),
  attempts: Type.Array(
    Type.Object({
      ...{ at: time, attempt: integer(), epoch: integer('Raised by each reprocess'), outcome: word, code: word },
      ...{ message: word, durationMs: orNull(integer()) },
    }),
  ),
  timeline: Type.Array(timelineEntryRef),
  traceId: orNull(word),
  others: Type.Array(deadLetterRef),
  can: Type.Object(
    { reprocess: verdict, discard: verdict, cancelOrder: verdict, correct: verdict },
    { description: 'What may be done about it; a core step’s is discarded by canceling its order' },
  ),
});

const auditQuery = Type.Object(
  {
    action: optional(Type.String({ pattern: namePattern, description: 'Such as letter-reprocessed' })),
    by: optional(Type.String({ pattern: '^[\\w-]{1,32}$', description: 'The name of an operator’s token' })),
    orderId: optional(uuid('The id of the order')),
    from: optional(moment('At this time or later')),
    to: optional(moment('Before this time')),
    limit: optional(pageSize),
    cursor: optional(Type.String({ pattern: cursorPattern, description: 'The nextCursor of the page before' })),
  },
  strict,
);
const auditEntry = Type.Object({
  ...{ id: id(), at: time, action: word, by: orNull(word), orderId: orNull(word) },
  detail: Type.Unsafe<Record<string, unknown>>({ type: 'object', additionalProperties: true }),
  correlationId: word,
});

// All that is for operators, these and those of the files beside this one.
export function addOperatorRoutes(app: App, operators: OperatorDesk, now: () => Date): void {
  addReplayRoutes(app, operators.replays);
  addWaitingRoutes(app, operators, now);
  app.get(
    '/dlq/groups',
    {
      preValidation: readNumbers('amountMin', 'amountMax'),
      schema: {
        operationId: 'groupDeadLetters',
        summary: 'Open dead letters by what they have in common, most first',
        tags: ['dead letters'],
        headers: requestHeaders,
        querystring: groupsQuery,
        response: { 200: described(groups, 'The groups'), ...problemAnswers('invalid-parameter', 'unavailable') },
      },
    },
    async ({ query: { by = 'consumer,code,partner', ...filter } }) => {
      const found = await operators.deadLetterGroups(by.split(',') as GroupKey[], toSelection(filter));
      return written(found) as Static<typeof groups>;
    },
  );

  app.get(
    '/dlq/letters/:id',
    {
      schema: {
        operationId: 'readDeadLetter',
        summary: 'One dead letter, open or closed, with its order, event, attempts and timeline',
        tags: ['dead letters'],
        headers: requestHeaders,
        params: deadLetterParams,
        querystring: noQuery,
        response: {
          200: described(story, 'The dead letter'),
          ...problemAnswers('invalid-parameter', 'no-dead-letter', 'unavailable'),
        },
      },
    },
    async ({ params }) => {
      const { letter, order, event, attempts, timeline, others } = orThrow(
        await operators.deadLetter(params.id.toLowerCase()),
      );
      const isOpen = letter.closedAt === null;
      const isCore = coreConsumers.includes(letter.consumer);
      const { id, type, version, time, data, correlationId, causationId } = event;
      return {
        letter: toDeadLetterBody(letter),
        order: toOrderBody(order),
        event: { id, type, version, time: time.toISOString(), data, correlationId, causationId },
        attempts: attempts.map((attempt) => ({ ...attempt, at: attempt.at.toISOString() })),
        timeline: timeline.map(toTimelineBody),
        // W3C Trace Context: version, trace, parent, flags.
        traceId: event.traceparent?.split('-')[1] ?? null,
        others: others.map(toDeadLetterBody),
        can: {
          reprocess: isOpen,
          discard: isOpen && !isCore,
          cancelOrder: isOpen && isCore,
          correct: isOpen && letter.consumer === correctable,
        },
      };
    },
  );

  app.get(
    '/operations/audit',
    {
      preValidation: readLimit,
      schema: {
        operationId: 'readAudit',
        summary: 'What people did, newest first',
        tags: ['operations'],
        headers: requestHeaders,
        querystring: auditQuery,
        response: {
          200: described(page(auditEntry), 'One page of the list'),
          ...problemAnswers('invalid-parameter', 'unavailable'),
        },
      },
    },
    async ({ query: { limit = pageSizeDefault, cursor, from, to, ...filter } }) => {
      const after = cursor === undefined ? null : decodeCursor(cursor);
      const asked = { ...filter, orderId: filter.orderId?.toLowerCase(), from: readDate(from), to: readDate(to) };
      const { items, next } = await operators.audit({ ...asked, limit, after });
      return {
        items: items.map((entry) => ({ ...entry, at: entry.at.toISOString() })),
        nextCursor: next === null ? null : encodeCursor(next),
      };
    },
  );
}
