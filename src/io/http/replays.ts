// The routes of bulk replays: tried dry, started, followed, held back.
//
// Promises: a dry run stores nothing; a start answers at once, the work goes on whoever runs it; pausing, resuming and
// canceling may be repeated.

import { type Static, Type } from 'typebox';
import type { DeadLetterSelection } from '../../flow/dead-letters.ts';
import { rateOf, stageName, underWayOf } from '../../flow/operators/pace.ts';
import type { Replay, Replays } from '../../flow/operators/replays.ts';
import {
  bodyProblems,
  countSchema,
  deadLetterRef,
  described,
  id,
  integer,
  oneOf,
  orNull,
  page,
  problemAnswers,
  toDeadLetterBody,
} from './answers.ts';
import type { App } from './app.ts';
import { cursorPattern, decodeCursor, encodeCursor } from './cursor.ts';
import { filterBody, type LetterFilter, toSelection } from './letter-filter.ts';
import { readLimit } from './pages.ts';
import { orThrow } from './problems.ts';
import { emptyBody, noQuery, pageSize, pageSizeDefault, requestHeaders, text, uuid } from './requests.ts';

const states = ['running', 'paused', 'stopped', 'canceled', 'done'] as const;
const word = Type.String();
const time = Type.String({ format: 'date-time' });
const rate = { type: ['number', 'null'], description: 'Per second; null = a ramp of 1, 5, 20 and 100' } as const;
const canary = { description: 'One dead letter first; the others when its work is done' };
const stopShare = {
  minimum: 0,
  maximum: 1,
  description: 'It stops when more than this share of ten or more outcomes, or the canary, failed again; 1 = never',
};

const startBody = Type.Object(
  {
    filter: filterBody,
    reason: text(500, 'Why; it is kept in the audit log'),
    dryRun: Type.Optional(Type.Boolean({ default: false, description: 'Only says how many, and shows some' })),
    rate: Type.Optional(Type.Unsafe<number | null>({ ...rate, minimum: 0.1, maximum: 1_000 })),
    canary: Type.Optional(Type.Boolean({ ...canary, default: true })),
    stopShare: Type.Optional(Type.Number({ ...stopShare, default: 0.1 })),
  },
  {
    additionalProperties: false,
    examples: [{ filter: { consumer: 'payment', code: 'provider-unavailable' }, reason: 'the provider is back' }],
  },
);
const replaySchema = Type.Object({
  id: id(),
  state: oneOf(states),
  stateReason: orNull(Type.String({ description: 'Why it stopped, or what it left' })),
  filter: Type.Unsafe<LetterFilter>({ type: 'object', additionalProperties: true }),
  ...{ reason: word, by: orNull(word), createdAt: time, endedAt: orNull(time) },
  rate: Type.Unsafe<number | null>(rate),
  canary: Type.Boolean(canary),
  stopShare: Type.Number(stopShare),
  stage: Type.String({ description: 'canary, or the rate now' }),
  ratePerSecond: Type.Number(),
  total: Type.Object(countSchema, { description: 'What was selected at the start' }),
  sent: integer(),
  done: integer('Of these, the work is done'),
  failed: integer('Of these, there is a dead letter again'),
  underWay: integer('Of these, nobody knows yet'),
  skipped: integer('Could not be sent back: closed by somebody else, or their order has ended'),
});
const dryRun = Type.Object({
  ...countSchema,
  orders: integer('Of how many orders they are'),
  samples: Type.Array(deadLetterRef, { description: 'The newest of them' }),
});
const listQuery = Type.Object(
  {
    limit: Type.Optional(pageSize),
    cursor: Type.Optional(Type.String({ pattern: cursorPattern, description: 'The nextCursor of the page before' })),
  },
  { additionalProperties: false },
);
const params = Type.Object({ id: uuid('The id of the replay') });
const shared = { tags: ['dead letters'], headers: requestHeaders };

export function toFilterBody({ from, to, partner, ...rest }: DeadLetterSelection): LetterFilter {
  const filter = {
    ...rest,
    from: from?.toISOString(),
    to: to?.toISOString(),
    partner: partner === '' ? 'none' : partner,
  };
  return Object.fromEntries(Object.entries(filter).filter(([, value]) => value != null));
}

function toReplayBody(replay: Replay): Static<typeof replaySchema> {
  const { id, state, stateReason, filter, reason, by, createdAt, endedAt, rate, canary, stopShare } = replay;
  const { total, sent, done, failed, skipped } = replay;
  return {
    ...{ id, state, stateReason, filter: toFilterBody(filter), reason, by, rate, canary, stopShare },
    ...{ createdAt: createdAt.toISOString(), endedAt: endedAt?.toISOString() ?? null },
    ...{ stage: stageName(replay), ratePerSecond: rateOf(replay), underWay: underWayOf(replay) },
    ...{ total, sent, done, failed, skipped },
  };
}

export function addReplayRoutes(app: App, replays: Replays): void {
  app.post(
    '/dlq/replays',
    {
      links: {
        201: { replay: { operationId: 'readReplay', parameters: { id: '$response.body#/id' } } },
      },
      schema: {
        ...shared,
        operationId: 'startReplay',
        summary: 'Send back all open dead letters of a selection, at a rate that the partner survives',
        querystring: noQuery,
        body: startBody,
        response: {
          200: described(dryRun, 'What a dry run found'),
          201: described(replaySchema, 'The replay, running', { Location: 'The address of the replay' }),
          ...problemAnswers(...bodyProblems, 'unavailable', 'outcome-unknown'),
        },
      },
    },
    async ({ body, id: correlationId, operator: by }, reply) => {
      const filter = toSelection(body.filter);
      if (body.dryRun) {
        const found = await replays.dryRun(filter);
        return reply.send({ ...found, samples: found.samples.map(toDeadLetterBody) });
      }
      const { reason, rate = null, canary = true, stopShare = 0.1 } = body;
      const replay = await replays.start({ filter, reason, rate, canary, stopShare }, { by, correlationId });
      return reply.code(201).header('location', `/dlq/replays/${replay.id}`).send(toReplayBody(replay));
    },
  );

  app.get(
    '/dlq/replays',
    {
      preValidation: readLimit,
      schema: {
        ...shared,
        operationId: 'listReplays',
        summary: 'Replays, newest first',
        querystring: listQuery,
        response: {
          200: described(page(replaySchema), 'One page of the list'),
          ...problemAnswers('invalid-parameter', 'unavailable'),
        },
      },
    },
    async ({ query: { limit = pageSizeDefault, cursor } }) => {
      const { items, next } = await replays.list(limit, cursor === undefined ? null : decodeCursor(cursor).id);
      return { items: items.map(toReplayBody), nextCursor: next === null ? null : encodeCursor(next) };
    },
  );

  app.get(
    '/dlq/replays/:id',
    {
      schema: {
        ...shared,
        operationId: 'readReplay',
        summary: 'A replay, as far as it is',
        params,
        querystring: noQuery,
        response: {
          200: described(replaySchema, 'The replay'),
          ...problemAnswers('invalid-parameter', 'no-replay', 'unavailable'),
        },
      },
    },
    async (request) => toReplayBody(orThrow(await replays.read(request.params.id.toLowerCase()))),
  );

  const acts = [
    ['pause', 'Pause a replay; what was sent goes on'],
    ['resume', 'Go on with a replay that was paused, or has stopped'],
    ['cancel', 'End a replay; what was sent goes on'],
  ] as const;
  for (const [act, summary] of acts) {
    app.post(
      `/dlq/replays/:id/${act}`,
      {
        schema: {
          ...shared,
          ...{ operationId: `${act}Replay`, summary, params, querystring: noQuery, body: emptyBody },
          response: {
            200: described(replaySchema, 'The replay; asking again changes nothing'),
            ...problemAnswers(...bodyProblems, 'no-replay', 'replay-over', 'unavailable', 'outcome-unknown'),
          },
        },
      },
      async ({ params, id: correlationId, operator: by }) =>
        toReplayBody(orThrow(await replays[act](params.id.toLowerCase(), { by, correlationId }))),
    );
  }
}
