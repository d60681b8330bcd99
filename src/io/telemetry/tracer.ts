// Traces by OpenTelemetry, sent over OTLP: the one file that knows its SDK, loaded only where traces are asked for.
//
// Promises: spans are begun by hand, and nothing is registered for the whole process. What belongs to a trace that is
// not kept costs a comparison. A sampler that follows the parent follows links, too: a retry is kept where its order
// is. A receiver that is away holds up nobody: what waits for it is bounded, the rest is dropped and told.

import { AsyncLocalStorage } from 'node:async_hooks';
import { hostname } from 'node:os';
import {
  DiagLogLevel,
  diag,
  type Span as OtelSpan,
  ROOT_CONTEXT,
  type SpanContext,
  SpanKind,
  SpanStatusCode,
  trace,
} from '@opentelemetry/api';
import {
  detectResources,
  resourceAttributesEnvDetector,
  resourceFromAttributes,
  serviceNameEnvDetector,
} from '@opentelemetry/resources';
import {
  AlwaysOffSampler,
  AlwaysOnSampler,
  BatchSpanProcessor,
  ParentBasedSampler,
  type Sampler,
  SamplingDecision,
  type SpanExporter,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from '@opentelemetry/sdk-trace';
import { createOutage } from '../../engine/outage.ts';
import type { Log, System } from '../../engine/ports.ts';
import { handOn, type Span, type Tracer } from '../../engine/tracer.ts';

export type Tracing = {
  // For the log; the exporter reads it itself.
  readonly endpoint: string;
  readonly protocol: 'http/protobuf' | 'http/json';
  readonly sampler: string;
  readonly ratio: number;
  readonly everyMs: number;
  readonly timeoutMs: number;
  readonly waitingMax: number;
  readonly batchMax: number;
};

// Spans that wait are given this long when the process ends.
const farewellMs = 1_500;
// Between two lines of what the SDK has to say.
const complaintMs = 60_000;
const kinds = {
  server: SpanKind.SERVER,
  client: SpanKind.CLIENT,
  producer: SpanKind.PRODUCER,
  consumer: SpanKind.CONSUMER,
};

export async function createTracer(options: {
  readonly tracing: Tracing;
  readonly role: string;
  readonly version: string;
  readonly system: System;
  readonly log: Log;
}): Promise<Tracer & { readonly close: () => Promise<void> }> {
  const { tracing, role, version, system, log } = options;
  const { OTLPTraceExporter } =
    tracing.protocol === 'http/json'
      ? await import('@opentelemetry/exporter-trace-otlp-http')
      : await import('@opentelemetry/exporter-trace-otlp-proto');
  const described = resourceFromAttributes({
    'service.name': role === 'start' ? 'orderly' : `orderly-${role}`,
    'service.version': version,
    'service.instance.id': `${hostname()}:${process.pid}`,
  });
  const given = detectResources({ detectors: [resourceAttributesEnvDetector, serviceNameEnvDetector] });
  const provider = new TracerProvider({
    resource: described.merge(given),
    sampler: samplerOf(tracing),
    spanProcessors: [
      new BatchSpanProcessor({
        exporter: watched(new OTLPTraceExporter(), tracing, { system, log }),
        scheduledDelayMillis: tracing.everyMs,
        exportTimeoutMillis: tracing.timeoutMs,
        maxQueueSize: tracing.waitingMax,
        maxExportBatchSize: Math.min(tracing.batchMax, tracing.waitingMax),
      }),
    ],
  });
  complainTo(log, system);
  const otel = provider.getTracer('orderly', version);
  const followsParent = tracing.sampler.startsWith('parentbased_');
  const currents = new AsyncLocalStorage<string | null>();

  return {
    start: ({ name, kind, parent, links = [], attributes }) => {
      const above = contextOf(parent);
      const linked = links.map(contextOf).filter((one) => one !== null);
      const related = above === null ? linked : [above];
      if (followsParent && related.length > 0 && !related.some(isSampled)) return handOn(parent ?? links[0] ?? null);
      const span = otel.startSpan(
        name,
        { kind: kinds[kind], links: linked.map((context) => ({ context })) },
        above === null ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, above),
      );
      if (span.isRecording()) span.setAttributes(attributes());
      return toSpan(span);
    },
    within: ({ traceparent }, work) => currents.run(traceparent, work),
    current: () => currents.getStore() ?? null,
    isShown: (traceparent) => {
      const context = contextOf(traceparent);
      return context !== null && (!followsParent || isSampled(context));
    },
    close: async () => {
      const flushed = provider.shutdown().catch(() => {});
      await Promise.race([flushed, system.sleep(farewellMs)]);
    },
  };
}

function toSpan(span: OtelSpan): Span {
  const { traceId, spanId, traceFlags } = span.spanContext();
  return {
    traceparent: `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, '0')}`,
    end: (more = {}, error = null) => {
      span.setAttributes(more);
      if (error !== null) span.setAttribute('error.type', error).setStatus({ code: SpanStatusCode.ERROR });
      span.end();
    },
  };
}

const isSampled = ({ traceFlags }: SpanContext) => (traceFlags & 1) === 1;

// What a bus brought is anybody's: what is no traceparent is none.
function contextOf(traceparent: string | null): SpanContext | null {
  const [, traceId, spanId, flags] = /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/.exec(traceparent ?? '') ?? [];
  if (traceId === undefined || spanId === undefined) return null;
  return { traceId, spanId, traceFlags: Number.parseInt(flags ?? '00', 16), isRemote: true };
}

function samplerOf({ sampler, ratio }: Tracing): Sampler {
  const root: Sampler = sampler.endsWith('always_off')
    ? new AlwaysOffSampler()
    : sampler.endsWith('always_on')
      ? new AlwaysOnSampler()
      : new TraceIdRatioBasedSampler(ratio);
  if (!sampler.startsWith('parentbased_')) return root;
  return new ParentBasedSampler({
    root: {
      // Of a trace of its own with links, one at least is kept.
      shouldSample: (...asked) =>
        asked[5].length > 0 ? { decision: SamplingDecision.RECORD_AND_SAMPLED } : root.shouldSample(...asked),
      toString: () => root.toString(),
    },
  });
}

function watched(exporter: SpanExporter, { endpoint }: Tracing, { system, log }: { system: System; log: Log }) {
  const outage = createOutage({
    what: `the receiver of traces at ${new URL(endpoint).host}`,
    advice: 'traces are dropped meanwhile, and nothing else. Check OTEL_EXPORTER_OTLP_ENDPOINT and that it runs',
    fields: { dependency: 'traces' },
    log,
    system,
  });
  const kept: SpanExporter = {
    export: (spans, done) =>
      exporter.export(spans, (result) => {
        if (result.error === undefined) outage.worked('export');
        else outage.failed('export', result.error);
        done(result);
      }),
    shutdown: async () => {
      await exporter.shutdown();
      outage.left('export');
    },
  };
  return kept;
}

// The SDK says here, and nowhere else, that it drops spans.
function complainTo(log: Log, system: System): void {
  let saidMs = Number.NEGATIVE_INFINITY;
  const warn = (message: string) => {
    if (system.monotonicMs() - saidMs < complaintMs) return;
    saidMs = system.monotonicMs();
    log.warn({ dependency: 'traces' }, `traces: ${message}`);
  };
  const ignore = () => {};
  diag.setLogger(
    { error: ignore, warn, info: ignore, debug: ignore, verbose: ignore },
    { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true },
  );
}
