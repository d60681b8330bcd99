// The routes that tell what waits and why, and that hold it back.
//
// Promises: each answers within a bounded time, a million jobs or none; what is paused stays so over restarts, and
// reaches every process within two seconds. Pausing and resuming may be repeated.

import { type Static, type TObject, Type } from 'typebox';
import { type Pause, pauseKinds } from '../../flow/operators/pauses.ts';
import type { OperatorDesk } from '../../flow/operators/ports.ts';
import { jobStates, type Overview, partnersOf } from '../../flow/operators/waiting.ts';
import { consumerNames } from '../../flow/subscriptions.ts';
import {
  bodyProblems,
  countSchema,
  described,
  id,
  integer,
  oneOf,
  orNull,
  problemAnswers,
  written,
} from './answers.ts';
import type { App } from './app.ts';
import { moment, readDate } from './dates.ts';
import { readLimit } from './pages.ts';
import { orThrow, ProblemError } from './problems.ts';
import { emptyBody, noQuery, pageSize, pageSizeDefault, requestHeaders, text, uuid, uuidPattern } from './requests.ts';

const partnerNames = ['payments', 'carrier', 'mail', 'search'];
const notPaused = ['nothing-to-pause', 'too-many-pauses', 'pause-over'] as const;
const word = Type.String();
const time = Type.String({ format: 'date-time' });
const optional = Type.Optional;
const list = <F extends Parameters<typeof Type.Object>[0]>(fields: F) => Type.Array(Type.Object(fields));

const pauseSchema = Type.Object({
  kind: oneOf(pauseKinds),
  name: Type.String({ description: 'Of the consumer or the partner, or the id of the order' }),
  ...{ reason: word, by: orNull(word), at: time, until: orNull(time) },
});
const pausesSchema = Type.Object({ items: Type.Array(pauseSchema) });
const pausedNames = [...new Set([...consumerNames, ...partnerNames])];
const pausedPattern = `^(?:${pausedNames.join('|')}|${uuidPattern.slice(1, -1)})$`;
const pauseBody = Type.Object(
  {
    kind: oneOf(pauseKinds),
    name: Type.String({
      pattern: pausedPattern,
      description: `A consumer (${consumerNames.join(', ')}), a partner (${partnerNames.join(', ')}), or the id of an order`,
    }),
    reason: text(500, 'Why; it is kept in the audit log'),
    until: optional(moment('It ends by itself at this time')),
  },
  {
    additionalProperties: false,
    examples: [
      { kind: 'partner', name: 'carrier', reason: 'the carrier has asked for it', until: '2030-01-01T08:00:00Z' },
    ],
  },
);

const breaker = {
  process: word,
  state: oneOf(['closed', 'open', 'half-open']),
  since: orNull(word),
  code: orNull(word),
};
const overviewSchema = Type.Object({
  at: time,
  jobs: list({
    consumer: word,
    due: Type.Object(countSchema, { description: 'Due, and nobody works on it' }),
    running: integer('As far as living processes have told'),
    waiting: Type.Object(countSchema, { description: 'Not due yet' }),
    oldestDueAt: orNull(time),
    isPaused: Type.Boolean(),
  }),
  deadLetters: list({ consumer: word, ...countSchema }),
  partners: list({
    ...{ name: word, downSince: orNull(time), isPaused: Type.Boolean(), consumers: Type.Array(word) },
    breakers: list(breaker),
    changes: list({ at: time, process: word, state: oneOf(['open', 'closed']), code: orNull(word) }),
  }),
  cursors: list({
    reader: word,
    readTo: integer(),
    behind: integer(),
    oldestAt: orNull(time),
    leaseUntil: orNull(time),
  }),
  processes: list({
    ...{ id: word, role: word, host: word, pid: integer(), version: word, startedAt: time, seenAt: time },
    ...{ isAlive: Type.Boolean(), consumers: Type.Array(word) },
    running: Type.Unsafe<Record<string, number>>({ type: 'object', additionalProperties: { type: 'integer' } }),
  }),
  pauses: Type.Array(pauseSchema),
});

const jobsQuery = Type.Object(
  {
    consumer: optional(Type.Enum(['payment', 'fulfillment', 'compensation', 'notification'], { type: 'string' })),
    state: optional(
      Type.Enum([...jobStates], { type: 'string', description: 'Absent = any, those that are due first' }),
    ),
    orderId: optional(uuid('Of this order')),
    limit: optional(pageSize),
  },
  { additionalProperties: false },
);
const jobsSchema = Type.Object({
  items: list({
    ...{ orderId: id(), version: integer(), consumer: word, eventType: word, state: oneOf(jobStates) },
    ...{ createdAt: time, dueAt: time, leaseUntil: orNull(time), attempt: integer(), epoch: integer() },
    process: orNull(Type.String({ description: 'Where it runs, if its process has told' })),
    since: orNull(Type.String({ description: 'Since when it runs there' })),
    waitsFor: oneOf(['worker', 'answer', 'next-try', 'partner', 'pause']),
    ...{ partner: orNull(word), lastCode: orNull(word) },
  }),
});

const toPauseBody = ({ kind, name, reason, by, at, until }: Pause) => ({
  ...{ kind, name, reason, by, at: at.toISOString(), until: until?.toISOString() ?? null },
});

function toOverviewBody({ jobs, deadLetters, down, cursors, processes, pauses }: Overview, at: Date) {
  const alive = processes.filter(({ isAlive }) => isAlive);
  const isPaused = (kind: string, name: string) => pauses.some((one) => one.kind === kind && one.name === name);
  return written({
    at,
    jobs: jobs.map(({ consumer, ...counts }) => ({
      ...{ consumer, ...counts, isPaused: isPaused('consumer', consumer) },
      running: alive.reduce((sum, { running }) => sum + (running[consumer] ?? 0), 0),
    })),
    deadLetters,
    partners: partnerNames.map((name) => ({
      name,
      downSince: down.find((one) => one.name === name)?.since ?? null,
      isPaused: isPaused('partner', name),
      consumers: consumerNames.filter((consumer) => partnersOf(consumer).includes(name)),
      breakers: alive
        .filter(({ consumers }) => consumers.some((consumer) => partnersOf(consumer).includes(name)))
        .flatMap(({ id: process, breakers }) =>
          breakers
            .filter((one) => one.name === name)
            .map(({ state, since, code }) => ({ process, state, since, code })),
        ),
      changes: processes
        .flatMap(({ id: process, changes }) =>
          changes.filter((one) => one.name === name).map(({ at, state, code }) => ({ at, process, state, code })),
        )
        .sort((one, other) => (one.at < other.at ? 1 : -1))
        .slice(0, 20),
    })),
    cursors,
    processes,
    pauses: pauses.map(toPauseBody),
  }) as Static<typeof overviewSchema>;
}

export function addWaitingRoutes(app: App, operators: OperatorDesk, now: () => Date): void {
  const reading = <S extends TObject>(operationId: string, summary: string, answer: S) => ({
    ...{ operationId, summary, tags: ['operations'], headers: requestHeaders },
    response: { 200: described(answer, 'As of now'), ...problemAnswers('invalid-parameter', 'unavailable') },
  });

  const overview = reading('readOverview', 'What waits, who works on it, and what stands in the way', overviewSchema);
  app.get('/operations/overview', { schema: { ...overview, querystring: noQuery } }, async () =>
    toOverviewBody(await operators.overview(), now()),
  );

  app.get(
    '/operations/jobs',
    {
      preValidation: readLimit,
      schema: {
        ...reading('listJobs', 'Jobs that are due, run or wait, and for what; longest due first', jobsSchema),
        querystring: jobsQuery,
      },
    },
    async ({ query: { limit = pageSizeDefault, orderId, ...filter } }) => {
      const found = await operators.jobs({ ...filter, orderId: orderId?.toLowerCase(), limit });
      return written({ items: found }) as Static<typeof jobsSchema>;
    },
  );

  app.get(
    '/operations/pauses',
    { schema: { ...reading('listPauses', 'What people hold back', pausesSchema), querystring: noQuery } },
    async () => ({ items: (await operators.pauses()).map(toPauseBody) }),
  );

  app.post(
    '/operations/pauses',
    {
      schema: {
        operationId: 'pause',
        summary: 'Hold back a consumer, a partner or one order; its work waits, uncharged',
        tags: ['operations'],
        headers: requestHeaders,
        querystring: noQuery,
        body: pauseBody,
        response: {
          200: described(pauseSchema, 'The pause; asking again replaces it'),
          ...problemAnswers(...bodyProblems, ...notPaused, 'unavailable', 'outcome-unknown'),
        },
      },
    },
    async ({ body: { kind, reason, until: given, ...body }, id: correlationId, operator: by }) => {
      const name = nameOf(kind, body.name);
      if (name === null) throw new ProblemError('nothing-to-pause', `There is no ${kind} called ${body.name}.`);
      const until = readDate(given);
      return toPauseBody(orThrow(await operators.pause({ kind, name, reason, until }, { by, correlationId })));
    },
  );

  app.post(
    '/operations/pauses/:kind/:name/resume',
    {
      schema: {
        operationId: 'resume',
        summary: 'Let go on what is held back',
        tags: ['operations'],
        headers: requestHeaders,
        params: Type.Object({ kind: oneOf(pauseKinds), name: Type.String({ pattern: '^[A-Za-z0-9-]{1,64}$' }) }),
        querystring: noQuery,
        body: emptyBody,
        response: {
          200: described(pausesSchema, 'What is still held back; resuming what is not changes nothing'),
          ...problemAnswers(...bodyProblems, 'unavailable', 'outcome-unknown'),
        },
      },
    },
    async ({ params: { kind, name: given }, id: correlationId, operator: by }) => {
      // What cannot be paused is not.
      const name = nameOf(kind, given) ?? given;
      return { items: (await operators.resume({ kind, name }, { by, correlationId })).map(toPauseBody) };
    },
  );
}

const isUuid = new RegExp(uuidPattern);
function nameOf(kind: Pause['kind'], given: string): string | null {
  if (kind === 'order') return isUuid.test(given) ? given.toLowerCase() : null;
  const names: readonly string[] = kind === 'consumer' ? consumerNames : partnerNames;
  return names.includes(given) ? given : null;
}
