// The trace of an order over each bus, every role a process: what travels carries the context, and the batch in which
// it was sent is linked.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { inInstallation, slowestTest } from '../support/installation.ts';
import type { Postgres } from '../support/postgres.ts';
import { pathsOf, startReceiver, type Traces } from '../support/traces.ts';
import { until } from '../support/until.ts';
import { startServer } from '../support/world.ts';
import { openBusServer } from './bus-server.ts';

describe('a trace', { timeout: 3 * slowestTest.timeout }, () => {
  let postgres: Postgres;
  let traces: Traces;
  before(async () => {
    postgres = await startServer();
    traces = await startReceiver();
  });
  after(async () => {
    await traces.close();
    await postgres.stop();
  });

  for (const kind of ['kafka', 'redis', 'sqs'] as const) {
    it(`goes on over ${kind}, from the request to the process that does the work`, async () => {
      const bus = await openBusServer(kind);
      const settings = { ...bus.settings, ...traces.settings, WORKER_PORT: 0 };
      await inInstallation(postgres, settings, async ({ startRole }) => {
        const [api] = await Promise.all([startRole('api'), startRole('relay'), startRole('worker')]);
        // A poll may be quicker than the bus: the next order has another chance.
        const [spans, traceId] = await until(
          async () => {
            const id = await place(api.url);
            const isThere = (name: string) => (one: readonly { traceId: string; name: string }[]) =>
              one.some((span) => span.traceId === id && span.name === name);
            const all = await until(async () => {
              const taken = await traces.all();
              return isThere('mail send')(taken) ? taken : null;
            }, 'the end of the order');
            return isThere('receive payment')(all) && isThere('receive fulfillment')(all) ? ([all, id] as const) : null;
          },
          'an order whose steps came over the bus',
          { patienceMs: 60_000 },
        );
        const paths = pathsOf(spans, traceId);
        const created = 'POST /orders > create OrderCreatedV1';
        for (const path of [`${created} > receive payment`, `${created} > process payment > payments authorize`])
          assert.ok(paths.includes(path), paths.join('\n'));
        const sent = spans.filter(
          ({ name, links }) => name === 'send events' && links.some((one) => one.traceId === traceId),
        );
        assert.ok(
          sent.length > 0 && sent.every(({ parentSpanId, service }) => `${parentSpanId}${service}` === 'orderly-relay'),
        );
      }).finally(bus.close);
    });
  }
});

async function place(url: string): Promise<string> {
  const traceId = randomBytes(16).toString('hex');
  const headers = { 'content-type': 'application/json', traceparent: `00-${traceId}-00000000000000ab-01` };
  const body = JSON.stringify({ userId: 'u-1', amount: 1999 });
  assert.equal((await fetch(`${url}/orders`, { method: 'POST', headers, body })).status, 201);
  return traceId;
}
