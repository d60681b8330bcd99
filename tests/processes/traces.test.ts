// Traces across real processes, as a receiver in a process of its own gets them over OTLP.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { TakenSpan } from '../../services/otlp.ts';
import { inInstallation, slowestTest } from '../support/installation.ts';
import type { Postgres } from '../support/postgres.ts';
import { customersDomain, type Settings } from '../support/process.ts';
import { pathsOf, startReceiver, type Traces } from '../support/traces.ts';
import { until } from '../support/until.ts';
import { startServer } from '../support/world.ts';

// Nobody listens there: the polls find the work.
const brokerAway: Settings = { BUS: 'kafka', KAFKA_BROKERS: '127.0.0.1:1', WORKER_PORT: 0 };
// The order of one span of it.
const orderOf = ({ attributes }: TakenSpan) => attributes['orderly.order.id'];

describe('the traces of several processes', slowestTest, () => {
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

  it('make one of the request and all that is done at once for its events, and links of what comes later', async () => {
    await inInstallation(postgres, { ...brokerAway, ...traces.settings }, async ({ startRole, sql }) => {
      const [api] = await Promise.all([startRole('api'), startRole('worker')]);
      const caller = { traceId: randomBytes(16).toString('hex'), spanId: randomBytes(8).toString('hex') };
      const place = (paymentScenario: string, traceparent: string) => placed(api.url, paymentScenario, traceparent);
      const smooth = await place('success', `00-${caller.traceId}-${caller.spanId}-01`);
      const flaky = await place('flaky', '');
      const mails = (spans: readonly TakenSpan[]) => spans.filter(({ name }) => name === 'mail send').length;
      const spans = await until(async () => {
        const all = await traces.all();
        const done = (name: string) => all.filter((span) => span.name === name).length;
        return mails(all) === 2 && done('process search') > 0 && done('process notification') === 2 ? all : null;
      }, 'the spans of both orders');

      // As deep as it goes, from the call of somebody else to the mail.
      const request = 'POST /orders > create OrderCreatedV1';
      const payment = `${request} > process payment`;
      const fulfillment = `${payment} > settle payment > create PaymentAuthorizedV1 > process fulfillment`;
      const end = `${fulfillment} > settle fulfillment > create FulfillmentScheduledV1 > process notification`;
      assert.deepEqual(pathsOf(spans, caller.traceId), [
        'POST /orders',
        request,
        payment,
        `${payment} > payments authorize`,
        `${payment} > settle payment`,
        `${payment} > settle payment > create PaymentAuthorizedV1`,
        fulfillment,
        `${fulfillment} > carrier book`,
        `${fulfillment} > settle fulfillment`,
        `${fulfillment} > settle fulfillment > create FulfillmentScheduledV1`,
        end,
        `${end} > mail send`,
        `${end} > settle notification`,
      ]);
      // Loops that serve many orders lie in no span: nothing of another order is in it.
      const owners = spans.filter(({ traceId }) => traceId === caller.traceId).map(orderOf);
      assert.deepEqual([...new Set(owners)].sort(), [smooth, undefined]);
      const [root] = spans.filter(({ traceId, name }) => traceId === caller.traceId && name === 'POST /orders');
      assert.equal(root?.parentSpanId, caller.spanId);
      const services = new Set(spans.filter(({ traceId }) => traceId === caller.traceId).map(({ service }) => service));
      assert.deepEqual([...services].sort(), ['orderly-api', 'orderly-worker']);

      // A retry is a trace of its own that says where it comes from, and what follows from it is there.
      const [created] = spans.filter((span) => orderOf(span) === flaky && span.name === 'create OrderCreatedV1');
      const attempts = spans
        .filter((span) => orderOf(span) === flaky && span.name === 'process payment')
        .sort((a, b) => a.startUs - b.startUs);
      const from = { traceId: created?.traceId, spanId: created?.spanId };
      assert.deepEqual(
        attempts.map(({ attributes, isError }) => [attributes['orderly.attempt'], isError]),
        [
          [1, true],
          [2, true],
          [3, false],
        ],
      );
      assert.deepEqual([attempts[0]?.traceId, attempts[0]?.parentSpanId], [from.traceId, from.spanId]);
      for (const retry of attempts.slice(1)) assert.deepEqual([retry.parentSpanId, retry.links], ['', [from]]);
      assert.equal(new Set(attempts.map(({ traceId }) => traceId)).size, 3);
      assert.ok(pathsOf(spans, attempts[2]?.traceId ?? '').some((path) => path.endsWith('> mail send')));

      // A batch of many events is linked to them and part of none.
      const batches = spans.filter(({ name }) => ['process search', 'process analytics'].includes(name));
      assert.ok(batches.every(({ parentSpanId, links }) => parentSpanId === '' && links.length > 0));
      assert.ok(batches.some(({ links }) => links.some(({ traceId }) => traceId === caller.traceId)));

      // A later process goes on with what is stored: the context of the span that created the event.
      const events = await sql<{ traceparent: string; type: string }>(
        'SELECT type, traceparent FROM events WHERE order_id = $1',
        [smooth],
      );
      for (const { type, traceparent } of events) {
        const [, traceId, spanId] = traceparent.split('-');
        assert.ok(
          spans.some((span) => span.spanId === spanId && span.traceId === traceId && span.name === `create ${type}`),
        );
      }
      assert.ok(!JSON.stringify(spans).includes(customersDomain), 'no customer is named');
    });
  });

  it('go on in the request of whoever sends an order back, cancels it, or asks for nothing to be kept', async () => {
    const once = { ...brokerAway, ...traces.settings, ORDER_WORKER_MAX_RETRIES: 0 };
    await inInstallation(postgres, once, async ({ startRole, client }) => {
      const [api] = await Promise.all([startRole('api'), startRole('worker')]);
      const unkept = await placed(api.url, 'success', `00-${randomBytes(16).toString('hex')}-00000000000000ab-00`);
      const sentBack = await placed(api.url, 'outage', '');
      await until(async () => (await client.read(sentBack)).status === 'FAILED', 'the dead letter');
      const traceId = randomBytes(16).toString('hex');
      const headers = { 'content-type': 'application/json', traceparent: `00-${traceId}-00000000000000cd-01` };
      const answer = await fetch(`${api.url}/dlq/${sentBack}/reprocess`, { method: 'POST', headers, body: '{}' });
      assert.equal(answer.status, 202);
      for (const id of [unkept, sentBack])
        await until(async () => (await client.read(id)).status === 'PROCESSED', 'the end of the order');
      const isAgain = (span: TakenSpan) => orderOf(span) === sentBack && span.attributes['orderly.epoch'] === 1;
      const spans = await until(async () => {
        const all = await traces.all();
        return all.some(isAgain) ? all : null;
      }, 'the attempt of the second epoch');
      const route = 'POST /dlq/:orderId/reprocess';
      assert.deepEqual(pathsOf(spans, traceId), [route, `${route} > create OrderReprocessedV1`]);
      const [again] = spans.filter(isAgain);
      const [created] = spans.filter((span) => orderOf(span) === sentBack && span.name === 'create OrderCreatedV1');
      assert.equal(again?.parentSpanId, '');
      assert.deepEqual(again?.links, [{ traceId: created?.traceId, spanId: created?.spanId }]);
      assert.deepEqual(
        spans.filter((span) => orderOf(span) === unkept),
        [],
      );
    });
  });

  it('cost nothing where nobody asks for them: no part of the SDK is loaded', async () => {
    const NODE_OPTIONS = `--import=${join(import.meta.dirname, '../support/tell-loaded.ts')}`;
    await inInstallation(postgres, { NODE_OPTIONS }, async ({ start, client }) => {
      const loads = /loaded .*@opentelemetry\/(sdk-trace|exporter)/;
      const plain = await start();
      await client.place();
      plain.signal('SIGTERM');
      await plain.exit();
      assert.match(plain.said(), /loaded .*fastify/);
      assert.doesNotMatch(plain.said(), loads);
      const traced = await start(traces.settings);
      assert.match(traced.said(), loads);
    });
  });
});

async function placed(url: string, paymentScenario: string, traceparent: string): Promise<string> {
  const customerEmail = `one@${customersDomain}`;
  const response = await fetch(`${url}/orders`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...(traceparent === '' ? {} : { traceparent }) },
    body: JSON.stringify({ customerEmail, productType: 'Phone', paymentScenario }),
  });
  assert.equal(response.status, 201);
  return ((await response.json()) as { id: string }).id;
}
