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

const paid = 'POST /orders > create OrderCreatedV1 > process payment > payments authorize';

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
        // Each step in a process of its own: one that has them all claims its next step itself.
        const workers = [
          startRole('worker payment'),
          startRole('worker fulfillment'),
          startRole('worker notification'),
        ];
        const [api] = await Promise.all([startRole('api'), startRole('relay'), ...workers]);
        // A poll may be quicker than the bus: the next order has another chance.
        await until(
          async () => {
            const traceId = await place(api.url);
            const look = async () => {
              const spans = await traces.all();
              const sent = spans.some(
                ({ name, service, parentSpanId, links }) =>
                  `${service}: ${name}` === 'orderly-relay: send events' &&
                  parentSpanId === '' &&
                  links.some((one) => one.traceId === traceId),
              );
              const paths = pathsOf(spans, traceId);
              const isWhole = sent && paths.includes(paid) && paths.some((path) => path.endsWith('> mail send'));
              return isWhole ? paths : null;
            };
            const paths = await until(look, 'the trace from the request over payment and relay to the mail');
            return paths.some((path) => /> create \w+ > receive \w+$/.test(path));
          },
          'an order with a step that came over the bus',
          { patienceMs: 60_000 },
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
