// A receiver of traces beside the processes of a test, and how to look at what it took.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { TakenSpan } from '../../services/otlp.ts';
import type { Settings } from './process.ts';

export type Traces = {
  // For the processes that are traced.
  readonly settings: Settings;
  readonly all: () => Promise<readonly TakenSpan[]>;
  readonly close: () => Promise<void>;
};

export async function startReceiver(): Promise<Traces> {
  const file = join(import.meta.dirname, 'otlp-receiver.ts');
  const child = spawn(process.execPath, [file], { stdio: ['pipe', 'pipe', 'inherit'] });
  const [said] = (await once(child.stdout, 'data')) as [Buffer];
  const url = said.toString().trim();
  return {
    settings: {
      OTEL_EXPORTER_OTLP_ENDPOINT: url,
      OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json',
      OTEL_BSP_SCHEDULE_DELAY: 50,
    },
    all: async () => (await (await fetch(url)).json()) as TakenSpan[],
    close: async () => {
      child.stdin.end();
      await once(child, 'exit');
    },
  };
}

// The names of a trace as a tree, children behind their parent: `a > b`.
export function pathsOf(spans: readonly TakenSpan[], traceId: string): string[] {
  const own = spans.filter((span) => span.traceId === traceId);
  const byId = new Map(own.map((span) => [span.spanId, span]));
  const pathOf = (span: TakenSpan): string => {
    const parent = byId.get(span.parentSpanId);
    return parent === undefined ? span.name : `${pathOf(parent)} > ${span.name}`;
  };
  return own.map(pathOf).sort();
}
