// A customer of the API as the contract asks for one: each order has an Idempotency-Key, and a request
// whose answer was lost, or said "later", is repeated with the same key and the same bytes.
//
// Promises: every acknowledgement (201) is kept, with its bytes, and a repetition that answers anything
// else than the first time fails the test; so does any status that the contract does not allow here.
// Relies on nothing of the product: what it keeps is evidence.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { customersDomain } from './process.ts';
import { until } from './until.ts';

export type Scenario = 'success' | 'failure' | 'flaky' | 'timeout' | 'lost-answer' | 'outage' | 'fatal';
export type OrderBody = { readonly id: string; readonly status: string; readonly retryCount: number };
export type Acknowledged = {
  readonly key: string;
  readonly orderId: string;
  readonly location: string | null;
  // The answer's bytes.
  readonly body: string;
};
export type Answer = {
  readonly status: number;
  readonly headers: Headers;
  readonly body: string;
};

export type Client = {
  // By key: what was acknowledged.
  readonly acknowledged: ReadonlyMap<string, Acknowledged>;
  // Every key that was ever sent, with its request's bytes.
  readonly sent: ReadonlyMap<string, string>;
  // Orders whose cancel was answered with 200.
  readonly canceled: ReadonlySet<string>;
  // How often which status was answered; `0` stands for no answer.
  readonly statuses: ReadonlyMap<number, number>;
  // Sends once; null when there was no answer.
  readonly send: (key: string, request: string) => Promise<Answer | null>;
  // Sends until acknowledged.
  readonly place: (options?: { readonly scenario?: Scenario; readonly key?: string }) => Promise<Acknowledged>;
  // Repeats what was sent under this key until it is acknowledged.
  readonly repeat: (key: string) => Promise<Acknowledged>;
  // Sends until there is an answer; a 409 means that it came too late.
  readonly cancel: (orderId: string) => Promise<void>;
  readonly read: (orderId: string) => Promise<OrderBody>;
  // Nobody waits any more: whatever would be repeated is given up.
  readonly leave: () => void;
};

// Besides 201: certainly not stored, and perhaps stored. Both are repeated.
const retried = [503, 504];
// Between a lost answer and its repetition: a restart takes some hundreds of these.
const pauseMs = 20;
// Longer than any answer takes; a process that is frozen for longer gets the request anew.
const patienceMs = 20_000;

// `url` is asked before each request, `answerMs` for how long its answer is waited for.
export function createClient(url: () => string, answerMs = () => patienceMs): Client {
  const acknowledged = new Map<string, Acknowledged>();
  const sent = new Map<string, string>();
  const canceled = new Set<string>();
  const statuses = new Map<number, number>();
  let hasLeft = false;

  async function beforeRepeating(): Promise<void> {
    if (hasLeft) throw new Error('the customer has left');
    await pause(pauseMs);
  }

  async function ask(path: string, init: RequestInit): Promise<Answer | null> {
    let answer: Answer | null = null;
    try {
      const response = await fetch(`${url()}${path}`, { ...init, signal: AbortSignal.timeout(answerMs()) });
      answer = { status: response.status, headers: response.headers, body: await response.text() };
    } catch {
      // No connection, or it broke off: nobody can tell what became of the request.
    }
    const status = answer?.status ?? 0;
    statuses.set(status, (statuses.get(status) ?? 0) + 1);
    if (status === 503) assert.match(answer?.headers.get('retry-after') ?? '', /^\d+$/, 'a 503 says when to come back');
    return answer;
  }

  async function send(key: string, request: string): Promise<Answer | null> {
    sent.set(key, request);
    const headers = { 'content-type': 'application/json', 'idempotency-key': key };
    const answer = await ask('/orders', { method: 'POST', headers, body: request });
    if (answer?.status === 201) acknowledge(key, answer);
    else
      assert.ok(answer === null || retried.includes(answer.status), `POST /orders: ${answer?.status} ${answer?.body}`);
    return answer;
  }

  function acknowledge(key: string, { headers, body }: Answer): void {
    const { id: orderId } = JSON.parse(body) as OrderBody;
    const now = { key, orderId, location: headers.get('location'), body };
    const first = acknowledged.get(key);
    if (first === undefined) acknowledged.set(key, now);
    else assert.deepEqual(now, first, 'a repetition gets the first answer again');
  }

  async function repeat(key: string): Promise<Acknowledged> {
    const request = sent.get(key);
    assert.ok(request, `nothing was sent under ${key}`);
    for (;;) {
      const answer = await send(key, request);
      const first = acknowledged.get(key);
      if (answer?.status === 201 && first) return first;
      await beforeRepeating();
    }
  }

  return {
    acknowledged,
    sent,
    canceled,
    statuses,
    send,
    repeat,
    place: ({ scenario = 'success', key = randomUUID() } = {}) => {
      sent.set(key, requestOf(key, scenario));
      return repeat(key);
    },
    cancel: async (orderId) => {
      for (;;) {
        const answer = await ask(`/orders/${orderId}/cancel`, { method: 'POST' });
        if (answer?.status === 200) return void canceled.add(orderId);
        if (answer?.status === 409) return;
        assert.ok(answer === null || retried.includes(answer.status), `cancel: ${answer?.status} ${answer?.body}`);
        await beforeRepeating();
      }
    },
    read: async (orderId) => {
      const answer = await ask(`/orders/${orderId}`, {});
      assert.equal(answer?.status, 200, `GET /orders/${orderId}: ${answer?.status} ${answer?.body}`);
      return JSON.parse(answer?.body ?? '') as OrderBody;
    },
    leave: () => {
      hasLeft = true;
    },
  };
}

export function requestOf(key: string, scenario: Scenario = 'success'): string {
  const customerEmail = `customer-${key}@${customersDomain}`;
  return JSON.stringify({ customerEmail, amount: 1_999, paymentScenario: scenario });
}

// Customers who come one after the other, several at a time, until told to stop or `ordersMax` have come. What they
// order goes round the list; every tenth thinks better of it at once.
export type Load = {
  // Resolves when so many more orders are acknowledged, or no more come; fails at once if anything is wrong.
  readonly more: (count: number) => Promise<void>;
  // Resolves when every order that was begun is acknowledged; fails if anything was wrong on the way.
  readonly stop: () => Promise<void>;
};

const everyNthCancels = 10;

export function startLoad(
  client: Client,
  options: {
    readonly scenarios: readonly Scenario[];
    readonly customers?: number;
    readonly pauseMs?: number;
    readonly ordersMax?: number;
  },
): Load {
  const { scenarios, customers = 6, pauseMs: betweenMs = 40, ordersMax = Number.POSITIVE_INFINITY } = options;
  let stopping = false;
  let begun = 0;

  async function come(): Promise<void> {
    while (!stopping && begun < ordersMax) {
      begun += 1;
      const turn = begun;
      const scenario = scenarios[turn % scenarios.length] ?? 'success';
      const { orderId } = await client.place({ scenario });
      if (turn % everyNthCancels === 0) await client.cancel(orderId);
      await pause(betweenMs);
    }
  }

  const done = Promise.all(Array.from({ length: customers }, come));
  // Whoever fails is heard at `stop`, not as an unhandled rejection before.
  done.catch(() => {
    stopping = true;
  });
  return {
    more: async (count) => {
      const enough = client.acknowledged.size + count;
      await Promise.race([done, until(() => client.acknowledged.size >= enough, `${enough} acknowledged orders`)]);
    },
    stop: async () => {
      stopping = true;
      await done;
    },
  };
}
