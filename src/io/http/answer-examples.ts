// What the published document shows as answers that are no order, dead letter, step of a timeline or problem by
// themselves: pages of these, and what operators read.
//
// Promises: each has the shape of its schema, and no answer is without one, which a test checks. Nothing here is ever
// answered.

import { deadLetterExample, orderExample, timelineEntryExample } from './examples.ts';

const { id: orderId, correlationId } = orderExample;
const at = '2026-11-21T07:00:00.000Z';
const later = '2026-11-21T07:00:10.000Z';
const process = '01993b1e-5a10-7c02-9d11-7f2f0e9c4b55';

const replay = {
  ...{ id: '01993b1f-11c4-7e55-8a01-5b1f8c2d9e70', state: 'running', stateReason: null },
  ...{ filter: { consumer: 'payment', code: 'provider-unavailable' }, reason: 'the provider is back', by: 'ann' },
  ...{ createdAt: at, endedAt: null, rate: null, canary: true, stopShare: 0.1, stage: '5/s', ratePerSecond: 5 },
  ...{ total: { count: 3_000, isAtLeast: false }, sent: 61, done: 52, failed: 1, underWay: 8, skipped: 0 },
};
const pause = { kind: 'partner', name: 'carrier', reason: 'the carrier has asked for it', by: 'ann', at, until: later };
const overview = {
  at: later,
  jobs: [
    {
      ...{ consumer: 'fulfillment', due: { count: 40, isAtLeast: false }, running: 10 },
      ...{ waiting: { count: 3, isAtLeast: false }, oldestDueAt: at, isPaused: false },
    },
  ],
  deadLetters: [{ consumer: 'payment', count: 3_000, isAtLeast: false }],
  partners: [
    {
      ...{ name: 'carrier', downSince: at, isPaused: true, consumers: ['fulfillment', 'compensation'] },
      breakers: [{ process, state: 'open', since: at, code: 'timeout' }],
      changes: [{ at, process, state: 'open', code: 'timeout' }],
    },
  ],
  cursors: [{ reader: 'search.postgres', readTo: 48_211, behind: 2, oldestAt: at, leaseUntil: later }],
  processes: [
    {
      ...{ id: process, role: 'worker', host: 'orderly-worker-1', pid: 17, version: '0.1.0', startedAt: at },
      ...{ seenAt: later, isAlive: true, consumers: ['fulfillment'], running: { fulfillment: 10 } },
    },
  ],
  pauses: [pause],
};
const job = {
  ...{ orderId, version: 2, consumer: 'fulfillment', eventType: 'PaymentAuthorizedV1', state: 'waiting' },
  ...{ createdAt: at, dueAt: later, leaseUntil: null, attempt: 2, epoch: 0, process: null, since: null },
  ...{ waitsFor: 'next-try', partner: 'carrier', lastCode: 'timeout' },
};
const total = { count: 3_000, isAtLeast: false };
const groups = {
  items: [
    {
      ...{ group: { consumer: 'payment', code: 'provider-unavailable', partner: 'payments' }, ...total },
      ...{ oldestAt: at, newestAt: later, sampleId: deadLetterExample.id, sampleMessage: deadLetterExample.message },
    },
  ],
  ...{ total, lookedBackTo: null },
};
const letter = {
  letter: deadLetterExample,
  order: { ...orderExample, status: 'FAILED', payment: 'none', fulfillment: 'none' },
  event: {
    ...{ id: deadLetterExample.eventId, type: 'OrderCreatedV1', version: 1, time: at },
    ...{ data: { amount: orderExample.amount, currency: orderExample.currency }, correlationId, causationId: null },
  },
  attempts: [
    {
      ...{ at: later, attempt: 4, epoch: 0, outcome: 'dead', code: deadLetterExample.code },
      ...{ message: deadLetterExample.message, durationMs: 12 },
    },
  ],
  ...{ timeline: [timelineEntryExample], traceId: null, others: [] },
  can: { reprocess: true, discard: false, cancelOrder: true, correct: false },
};
const auditEntry = {
  ...{ id: '01993b1f-2b7e-7d10-9c44-1a2b3c4d5e6f', at, action: 'letter-reprocessed', by: 'ann', orderId },
  ...{ detail: { deadLetterId: deadLetterExample.id }, correlationId },
};
const percentiles = { count: 1_200, p50Ms: 48, p90Ms: 90, p95Ms: 140, p99Ms: 2_300 };
const check = (name: string, status: string, detail: string) => ({ name, status, detail });
const running = check('process', 'ok', 'running');
const page = (item: object) => ({ items: [item], nextCursor: null });

// By operation and status.
export const answerExamples: Readonly<Record<string, Readonly<Record<number, object>>>> = {
  findOrders: { 200: page(orderExample) },
  readTimeline: { 200: { items: [timelineEntryExample] } },
  listDeadLetters: { 200: page(deadLetterExample) },
  groupDeadLetters: { 200: groups },
  readDeadLetter: { 200: letter },
  startReplay: { 200: { count: 3_000, isAtLeast: false, orders: 2_998, samples: [deadLetterExample] }, 201: replay },
  listReplays: { 200: page(replay) },
  readReplay: { 200: replay },
  pauseReplay: { 200: { ...replay, state: 'paused' } },
  resumeReplay: { 200: replay },
  cancelReplay: { 200: { ...replay, state: 'canceled', endedAt: later } },
  readOverview: { 200: overview },
  listJobs: { 200: { items: [job] } },
  listPauses: { 200: { items: [pause] } },
  pause: { 200: pause },
  resume: { 200: { items: [] } },
  readAudit: { 200: page(auditEntry) },
  measureDurations: { 200: { items: [{ day: '2026-11-21', ...percentiles }], all: percentiles } },
  readiness: {
    200: { status: 'ok', checks: [check('database', 'ok', 'reachable: the database orderly at db:5432'), running] },
    503: { status: 'failed', checks: [check('database', 'failed', 'has not answered for 12 s'), running] },
  },
};
