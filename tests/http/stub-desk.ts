// An order desk in memory, and a server in front of it: enough truth for the HTTP layer to show all its
// answers. It counts every call, so that a test can promise that a refused request never gets here.

import { type Order, type OrderId, toFirstState } from '../../src/domain/order.ts';
import { isRefusal, refuse } from '../../src/domain/refusals.ts';
import { type Log, UnavailableError } from '../../src/engine/ports.ts';
import type { DeadLetter, DeadLetterFilter } from '../../src/flow/dead-letters.ts';
import type { OperatorDesk } from '../../src/flow/operators/ports.ts';
import { fingerprintOf, toOrder } from '../../src/flow/orders/place-order.ts';
import type { TimelineEntry } from '../../src/flow/orders/sentences.ts';
import type { OrderDesk, PlaceInput } from '../../src/flow/ports.ts';
import type { Analytics } from '../../src/flow/projections/analytics.ts';
import type { HttpSettings } from '../../src/io/http/app.ts';
import { createHttpServer, type HttpDependencies } from '../../src/io/http/server.ts';
import { createSystem } from '../../src/io/system.ts';

export const start = new Date('2026-11-21T07:00:00.000Z');

export function createStubDesk(simulatedPartners = true) {
  const orders = new Map<string, Order>();
  const keys = new Map<string, { fingerprint: string; id: string }>();
  const deadLetters: DeadLetter[] = [];
  const calls: { name: string; args: unknown[] }[] = [];
  // Thrown by the next call instead of an answer.
  const fault: { error: unknown } = { error: undefined };

  const called = (name: string, ...args: unknown[]) => {
    calls.push({ name, args });
    if (fault.error !== undefined) throw fault.error;
  };
  const found = (id: string) => orders.get(id) ?? refuse('order-not-found', `There is no order ${id}.`);

  const analytics: Analytics = {
    statuses: async (range) => {
      called('statuses', range);
      return [{ day: '2026-11-21', status: 'PROCESSED', currency: 'EUR', count: 2, amount: 9_007_199_254_740_993n }];
    },
    countries: async (range) => {
      called('countries', range);
      return [{ day: '2026-11-21', status: 'PENDING', currency: 'EUR', country: 'DE', count: 1, amount: 2_500n }];
    },
    reasons: async (range) => {
      called('reasons', range);
      return [{ day: '2026-11-21', kind: 'declined', code: 'no-funds', currency: 'EUR', count: 1, amount: 2_500n }];
    },
    durations: async (range) => {
      called('durations', range);
      const line = { count: 2, p50Ms: 80, p90Ms: 120, p95Ms: 120, p99Ms: 120 };
      return { days: [{ day: '2026-11-21', ...line }], all: line };
    },
  };

  const desk: OrderDesk = {
    analytics,
    place: async (input: PlaceInput) => {
      called('place', input);
      const id = `01993b1e-7c3a-7d4e-9f10-${String(orders.size + 1).padStart(12, '0')}` as OrderId;
      const order = toOrder(input, { now: start, id, simulatedPartners });
      if (isRefusal(order)) return order;
      const fingerprint = fingerprintOf(input.received).toString('hex');
      const first = input.key === null ? undefined : keys.get(input.key);
      if (first !== undefined) {
        if (first.fingerprint !== fingerprint) {
          return refuse('idempotency-key-reused', 'This Idempotency-Key was used with another payload.');
        }
        return { order: toFirstState(orders.get(first.id) as Order), replayed: true };
      }
      orders.set(id, order);
      if (input.key !== null) keys.set(input.key, { fingerprint, id });
      return { order, replayed: false };
    },
    read: async (id) => {
      called('read', id);
      return found(id);
    },
    timeline: async (id) => {
      called('timeline', id);
      const order = found(id);
      if (isRefusal(order)) return order;
      const entry: TimelineEntry = {
        at: order.createdAt,
        type: 'OrderCreatedV1',
        consumer: null,
        attempt: null,
        outcome: null,
        code: null,
        text: 'The order was placed.',
        eventId: order.id,
        correlationId: order.correlationId,
        causationId: null,
        durationMs: null,
        until: null,
        waitsFor: null,
        traceId: null,
      };
      return [entry];
    },
    // Every order, newest first, whatever was asked; the words are counted with the call.
    count: async (query) => {
      called('count', query);
      return { PENDING: 1, PROCESSING: 0, PROCESSED: 10_000, FAILED: 0, CANCELED: 2 };
    },
    find: async (query) => {
      called('find', query);
      const { after, limit } = query;
      const all = [...orders.values()].reverse();
      const begin = after === null ? 0 : all.findIndex(({ id }) => id === after.id) + 1;
      const items = all.slice(begin, begin + limit);
      const last = items.at(-1);
      return { items, next: begin + limit < all.length && last !== undefined ? last : null };
    },
    cancel: async (id, reason, correlationId) => {
      called('cancel', id, reason, correlationId);
      const order = found(id);
      if (isRefusal(order)) return order;
      if (order.status === 'PROCESSED') return refuse('order-already-processed', 'The order is processed.');
      const canceled: Order = {
        ...order,
        status: 'CANCELED',
        reason: { code: 'canceled-by-request', message: reason ?? 'Canceled.' },
        version: 2,
      };
      orders.set(id, canceled);
      return canceled;
    },
    deadLetters: async (filter: DeadLetterFilter) => {
      called('deadLetters', filter);
      const { after } = filter;
      const begin = after === null ? 0 : deadLetters.findIndex(({ id }) => id === after.id) + 1;
      const items = deadLetters.slice(begin, begin + filter.limit);
      const last = items.at(-1);
      return { items, next: begin + filter.limit < deadLetters.length && last !== undefined ? last : null };
    },
    reprocess: async (id, correlationId) => {
      called('reprocess', id, correlationId);
      const order = orders.get(id);
      return order ?? refuse('no-dead-letter', 'The order has no open dead letter.');
    },
    reprocessDeadLetter: async (deadLetterId, correlationId) => {
      called('reprocessDeadLetter', deadLetterId, correlationId);
      const deadLetter = deadLetters.find(({ id }) => id === deadLetterId);
      if (deadLetter === undefined) return refuse('no-dead-letter', 'There is no such open dead letter.');
      return orders.get(deadLetter.orderId) as Order;
    },
    discardDeadLetter: async (deadLetterId, reason, correlationId) => {
      called('discardDeadLetter', deadLetterId, reason, correlationId);
      const deadLetter = deadLetters.find(({ id }) => id === deadLetterId);
      if (deadLetter === undefined) return refuse('no-dead-letter', 'There is no such open dead letter.');
      if (deadLetter.consumer === 'payment') return refuse('order-needs-cancel', 'Cancel the order.');
      return orders.get(deadLetter.orderId) as Order;
    },
    correctDeadLetter: async (deadLetterId, correction, correlationId) => {
      called('correctDeadLetter', deadLetterId, correction, correlationId);
      return refuse('no-dead-letter', 'There is no such open dead letter.');
    },
  };
  // What the desk was last asked to place.
  const lastPlaced = (): PlaceInput => calls.findLast(({ name }) => name === 'place')?.args[0] as PlaceInput;
  return { desk, orders, deadLetters, calls, fault, lastPlaced };
}

export function deadLetterNumber(n: number, orderId = '01993b1e-7c3a-7d4e-8000-000000000000'): DeadLetter {
  return {
    id: `01993b1e-7c3a-7d4e-8000-${String(n).padStart(12, '0')}`,
    orderId,
    consumer: 'payment',
    eventId: '01993b1e-7c3a-7d4e-8000-00000000000e',
    eventType: 'OrderCreatedV1',
    failureClass: 'retryable',
    code: 'provider-unavailable',
    message: 'the provider is away',
    attempts: 4,
    retryCount: 3,
    failedAt: new Date(start.getTime() - n * 1_000),
    partner: 'payments',
    times: 1,
    closedAt: null,
    closedHow: null,
    order: { status: 'FAILED', amount: 2500, currency: 'EUR', country: 'US' },
  };
}

const noReplay = refuse('no-replay', 'There is no such replay.');
// Nothing waits, and nobody has done anything.
const stubOperators: OperatorDesk = {
  deadLetterGroups: async () => ({ items: [], total: { count: 0, isAtLeast: false }, lookedBackTo: null }),
  deadLetter: async () => refuse('no-dead-letter', 'There is no such dead letter.'),
  audit: async () => ({ items: [], next: null }),
  overview: async () => ({ jobs: [], deadLetters: [], down: [], cursors: [], processes: [], pauses: [] }),
  jobs: async () => [],
  pauses: async () => [],
  pause: async (asked) => ({ ...asked, by: null, at: start, endsInMs: null }),
  resume: async () => [],
  replays: {
    dryRun: async () => ({ count: 0, isAtLeast: false, orders: 0, samples: [] }),
    start: async () => Promise.reject(new UnavailableError('nothing', 'this desk replays nothing')),
    read: async () => noReplay,
    list: async () => ({ items: [], next: null }),
    pause: async () => noReplay,
    resume: async () => noReplay,
    cancel: async () => noReplay,
  },
};

export function createTestServer(
  settings: Partial<HttpSettings> = {},
  overrides: Partial<Omit<HttpDependencies, 'settings'>> = {},
) {
  const full: HttpSettings = { keyMode: 'optional', simulatedPartners: true, docs: true, console: true, ...settings };
  const stub = createStubDesk(full.simulatedPartners);
  const logged: { level: string; fields: object; message: string }[] = [];
  const write = (level: string) => (fields: object, message: string) => void logged.push({ level, fields, message });
  const log: Log = { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') };
  const app = createHttpServer({
    desk: stub.desk,
    system: createSystem(),
    log,
    readiness: async () => ({ status: 'ok', checks: [{ name: 'database', status: 'ok', detail: null }] }),
    metrics: async () => ({ contentType: 'text/plain; version=0.0.4', body: 'orderly_up 1\n' }),
    settings: full,
    readsMax: 4,
    gate: () => null,
    tokens: [],
    operators: stubOperators,
    ...overrides,
  });
  return { app, logged, ...stub };
}
