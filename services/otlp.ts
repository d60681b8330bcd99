// Takes spans as OpenTelemetry sends them over OTLP, in JSON: for tests, and for a page that shows them.
//
// Promises: each span comes once per request that brought it, flat, with what describes its process. Answers as the
// protocol asks (OTLP 1.x, "OTLP/HTTP"); what it cannot read is 400.

import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';

export type TakenSpan = {
  readonly traceId: string;
  readonly spanId: string;
  // '' = a root.
  readonly parentSpanId: string;
  readonly name: string;
  // As OTLP counts them: 2 server, 3 client, 4 producer, 5 consumer.
  readonly kind: number;
  readonly service: string;
  // Microseconds since 1970.
  readonly startUs: number;
  readonly endUs: number;
  readonly attributes: Readonly<Record<string, string | number | boolean>>;
  readonly links: readonly { readonly traceId: string; readonly spanId: string }[];
  readonly isError: boolean;
};

type Value = { stringValue?: string; intValue?: number | string; boolValue?: boolean; doubleValue?: number };
type Pairs = readonly { readonly key: string; readonly value: Value }[];
type OtlpSpan = {
  traceId: string;
  spanId: string;
  parentSpanId?: string;
  name: string;
  kind: number;
  startTimeUnixNano: string;
  endTimeUnixNano: string;
  attributes?: Pairs;
  links?: readonly { traceId: string; spanId: string }[];
  status?: { code?: number };
};
type Otlp = { resourceSpans?: { resource?: { attributes?: Pairs }; scopeSpans?: { spans?: OtlpSpan[] }[] }[] };

const readValue = ({ stringValue, intValue, boolValue, doubleValue }: Value) =>
  stringValue ?? boolValue ?? doubleValue ?? Number(intValue);
const toAttributes = (pairs: Pairs = []) => Object.fromEntries(pairs.map(({ key, value }) => [key, readValue(value)]));
const toUs = (nano: string) => Number(BigInt(nano) / 1_000n);

export function readSpans(body: string): TakenSpan[] {
  const { resourceSpans = [] } = JSON.parse(body) as Otlp;
  return resourceSpans.flatMap(({ resource, scopeSpans = [] }) => {
    const service = String(toAttributes(resource?.attributes)['service.name']);
    return scopeSpans.flatMap(({ spans = [] }) => spans.map((span) => toSpan(span, service)));
  });
}

function toSpan(span: OtlpSpan, service: string): TakenSpan {
  const { traceId, spanId, parentSpanId = '', name, kind, links = [] } = span;
  return {
    ...{ traceId, spanId, parentSpanId, name, kind, service },
    startUs: toUs(span.startTimeUnixNano),
    endUs: toUs(span.endTimeUnixNano),
    attributes: toAttributes(span.attributes),
    links: links.map((link) => ({ traceId: link.traceId, spanId: link.spanId })),
    isError: span.status?.code === 2,
  };
}

export type OtlpReceiver = { readonly url: string; readonly close: () => Promise<void> };

// `page` answers what is asked by GET, as JSON.
export async function takeSpans(
  take: (spans: readonly TakenSpan[]) => void,
  page: () => unknown = () => ({}),
): Promise<OtlpReceiver> {
  const server = createServer(async (request, response) => {
    response.setHeader('content-type', 'application/json');
    if (request.method === 'GET') return response.end(JSON.stringify(page()));
    try {
      take(readSpans(await text(request)));
      response.end('{}');
    } catch (error) {
      response.writeHead(400).end(JSON.stringify({ message: String(error) }));
    }
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}
