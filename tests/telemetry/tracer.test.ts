import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { after, describe, it } from 'node:test';
import type { Log } from '../../src/engine/ports.ts';
import type { SpanStart } from '../../src/engine/tracer.ts';
import { createSystem } from '../../src/io/system.ts';
import { createTracer, type Tracing } from '../../src/io/telemetry/tracer.ts';
import { until } from '../support/until.ts';

const kept = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
const unkept = kept.replace(/01$/, '00');
const root: SpanStart = { name: 'process payment', kind: 'consumer', parent: null, attributes: () => ({}) };
const flagsOf = (traceparent: string | null) => traceparent?.slice(-2);
const traceOf = (traceparent: string | null) => traceparent?.slice(3, 35);

const tracing: Tracing = {
  ...{ endpoint: 'http://127.0.0.1:1', protocol: 'http/protobuf', sampler: 'parentbased_always_on', ratio: 1 },
  ...{ everyMs: 20, timeoutMs: 1_000, waitingMax: 64, batchMax: 16 },
};
async function open(more: Partial<Tracing> = {}) {
  const lines: string[] = [];
  const keep = (_: object, message: string) => void lines.push(message);
  const log: Log = { debug: keep, info: keep, warn: keep, error: keep };
  const all = { ...tracing, ...more };
  // The exporter reads them itself.
  process.env.OTEL_EXPORTER_OTLP_ENDPOINT = all.endpoint;
  process.env.OTEL_EXPORTER_OTLP_TIMEOUT = '200';
  const tracer = await createTracer({ tracing: all, role: 'api', version: '1', system: createSystem(), log });
  opened.push(tracer);
  return { tracer, lines };
}
const opened: { close: () => Promise<void> }[] = [];
after(() => Promise.all(opened.map((one) => one.close())));

describe('a sampler that follows the parent', () => {
  it('keeps what is kept and leaves what is not, down a trace and over links', async () => {
    // By itself it would keep nothing.
    const { tracer } = await open({ sampler: 'parentbased_traceidratio', ratio: 0 });
    const child = tracer.start({ ...root, parent: kept }).traceparent;
    assert.deepEqual([traceOf(child), flagsOf(child)], [traceOf(kept), '01']);
    assert.notEqual(child, kept);
    const retry = tracer.start({ ...root, links: [kept] }).traceparent;
    assert.equal(flagsOf(retry), '01');
    assert.notEqual(traceOf(retry), traceOf(kept));
    assert.equal(tracer.start({ ...root, parent: unkept }).traceparent, unkept);
    assert.equal(tracer.start({ ...root, links: [unkept] }).traceparent, unkept);
    assert.equal(flagsOf(tracer.start({ ...root, links: [unkept, kept] }).traceparent), '01');
    assert.equal(flagsOf(tracer.start(root).traceparent), '00');
    assert.deepEqual([kept, unkept, null, 'junk'].map(tracer.isShown), [true, false, false, false]);
  });

  it('begins a trace where what came is no traceparent', async () => {
    const { tracer } = await open();
    for (const junk of ['', 'junk', '00-xyz-1-01', `${kept}-more`]) {
      assert.match(tracer.start({ ...root, parent: junk }).traceparent ?? '', /^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/);
    }
  });
});

describe('any other sampler', () => {
  it('decides by itself, as its name says', async () => {
    const always = (await open({ sampler: 'always_on' })).tracer;
    assert.equal(flagsOf(always.start({ ...root, parent: unkept }).traceparent), '01');
    const never = (await open({ sampler: 'always_off' })).tracer;
    assert.equal(flagsOf(never.start({ ...root, parent: kept }).traceparent), '00');
  });
});

describe('what is called within a span', () => {
  it('finds it as the current one, there alone, across whatever it awaits', async () => {
    const { tracer } = await open();
    const [one, other] = [tracer.start(root), tracer.start(root)];
    const seen = await Promise.all(
      [one, other].map((span) =>
        tracer.within(span, async () => {
          await new Promise(setImmediate);
          return tracer.current();
        }),
      ),
    );
    assert.deepEqual(seen, [one.traceparent, other.traceparent]);
    assert.equal(tracer.current(), null);
  });
});

describe('the receiver of traces', () => {
  it('gets spans in protobuf as the standard has it by default, those that wait at the end too', async () => {
    const bodies: Buffer[] = [];
    const server = createServer(async (request, response) => {
      assert.equal(request.url, '/v1/traces');
      assert.equal(request.headers['content-type'], 'application/x-protobuf');
      bodies.push(await buffer(request));
      response.end();
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const { tracer, lines } = await open({ endpoint, everyMs: 60_000 });
    tracer.start({ ...root, parent: kept }).end();
    tracer.start({ ...root, name: 'never ended', parent: kept });
    await tracer.close();
    server.closeAllConnections();
    server.close();
    assert.equal(bodies.length, 1);
    const body = Buffer.concat(bodies);
    assert.ok(body.includes(Buffer.from(traceOf(kept) ?? '', 'hex')));
    assert.ok(body.includes('process payment') && body.includes('orderly-api') && !body.includes('never ended'));
    assert.deepEqual(lines, []);
  });

  it('is told of once when it is away, and holds up neither spans nor the end', async () => {
    const { tracer, lines } = await open();
    for (let count = 0; count < 200; count += 1) tracer.start(root).end();
    await until(() => lines.length > 0, 'the line of its outage');
    await tracer.close();
    assert.equal(
      lines.filter((line) => line.startsWith('the receiver of traces at 127.0.0.1:1 cannot be used')).length,
      1,
    );
  });
});
