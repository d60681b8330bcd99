// A Zipkin with its page, from Maven on the machine's own Java, and spans as it takes them. It knows neither OTLP nor
// links: both are translated here, a link to a tag with the other trace's id.
//
// Promises: keeps traces in memory alone; ends with `close`.

import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { findJava } from '../../services/java.ts';
import { fetchJars } from '../../services/maven.ts';
import type { TakenSpan } from '../../services/otlp.ts';
import type { Downloads } from '../../services/server.ts';
import type { Guardian } from '../../tests/support/guardian.ts';
import { answers, endChild, type Page } from './prometheus.ts';

const version = '3.6.1';
const title = `Zipkin ${version}`;
// A minute on a machine that is busy.
const readyMs = 90_000;
const kinds: Readonly<Record<number, string>> = { 2: 'SERVER', 3: 'CLIENT', 4: 'PRODUCER', 5: 'CONSUMER' };

export async function fetchZipkin(place: Downloads): Promise<{ readonly java: string; readonly jar: string }> {
  const java = await findJava(place, title, 17);
  const jars = [{ id: `io.zipkin:zipkin-server:${version}:exec`, without: ['*:*'] }];
  const folder = await fetchJars(place, { folder: `zipkin-${version}`, title, sizeMb: 135, jars });
  return { java, jar: join(folder, 'lib', `zipkin-server-${version}-exec.jar`) };
}

export async function startZipkin(
  { java, jar }: Awaited<ReturnType<typeof fetchZipkin>>,
  port: number,
  guardian: Guardian,
): Promise<Page & { readonly take: (spans: readonly TakenSpan[]) => void }> {
  const env = { ...process.env, QUERY_PORT: String(port), MEM_MAX_SPANS: '200000', SELF_TRACING_ENABLED: 'false' };
  const child = spawn(java, ['-Xmx384m', '-XX:TieredStopAtLevel=1', '-jar', jar], { env, stdio: 'ignore' });
  guardian.tell('+', child.pid ?? 0);
  const url = `http://127.0.0.1:${port}`;
  await answers(`${url}/health`, title, readyMs);
  const headers = { 'content-type': 'application/json' };
  return {
    url: `${url}/zipkin/`,
    // One that is lost is missing in the picture, and nowhere else.
    take: (spans) => {
      const body = JSON.stringify(spans.map(toZipkin));
      fetch(`${url}/api/v2/spans`, { method: 'POST', headers, body }).catch(() => undefined);
    },
    close: () => endChild(child, guardian),
  };
}

// Source: Zipkin's API, version 2.
function toZipkin(span: TakenSpan): object {
  const { traceId, spanId, parentSpanId, name, kind, service, startUs, endUs, attributes, links, isError } = span;
  const tags = Object.entries(attributes).map(([key, value]) => [key, String(value)]);
  return {
    traceId,
    id: spanId,
    ...(parentSpanId === '' ? {} : { parentId: parentSpanId }),
    name,
    kind: kinds[kind],
    timestamp: startUs,
    duration: Math.max(1, endUs - startUs),
    localEndpoint: { serviceName: service },
    tags: {
      ...Object.fromEntries(tags),
      ...(links.length === 0 ? {} : { 'link.trace_id': links.map((link) => link.traceId).join(' ') }),
      ...(isError ? { error: String(attributes['error.type'] ?? 'error') } : {}),
    },
  };
}
