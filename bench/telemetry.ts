// What it costs to be told of: Orderly silent, with logs and metrics, and with traces, by turns in one run.
//
// Promises: silent is without logs, counts and traces; the receiver of the traces takes them and does nothing with them.
// The bounds are shares of throughput; beside them stands the CPU, which a busy machine disturbs less.

import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { type Contender, orderly, root } from './contender.ts';
import { type Column, formatNumber, medianOf } from './table.ts';

// Of the column it is compared with: the least share of its throughput.
const bounds: readonly { readonly column: string; readonly of: string; readonly least: number | null }[] = [
  { column: 'logs, metrics', of: 'silent', least: 0.9 },
  { column: 'traced 10 %', of: 'logs, metrics', least: 0.9 },
  { column: 'traced 100 %', of: 'logs, metrics', least: null },
];

export async function openTold(): Promise<{
  readonly contenders: readonly Contender[];
  readonly close: () => Promise<void>;
}> {
  const receiver = createServer((request, response) => {
    request.resume().once('end', () => response.end());
  }).listen(0, '127.0.0.1');
  await once(receiver, 'listening');
  const told = { LOG_LEVEL: 'info' };
  const traced = {
    ...told,
    OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${(receiver.address() as AddressInfo).port}`,
    OTEL_BSP_SCHEDULE_DELAY: '500',
    OTEL_BSP_MAX_QUEUE_SIZE: '65536',
  };
  const sampled = (ratio: string) => ({
    ...traced,
    OTEL_TRACES_SAMPLER: 'parentbased_traceidratio',
    OTEL_TRACES_SAMPLER_ARG: ratio,
  });
  const silent = orderly('silent', root, { LOG_LEVEL: 'silent' });
  return {
    contenders: [
      { ...silent, start: [`--import=${join(import.meta.dirname, 'untold.ts')}`, ...silent.start] },
      orderly('logs, metrics', root, told),
      orderly('traced 10 %', root, sampled('0.1')),
      orderly('traced 100 %', root, sampled('1')),
    ],
    close: async () => {
      receiver.closeAllConnections();
      receiver.close();
      await once(receiver, 'close');
    },
  };
}

// A line for each, and whether all are kept.
export function judgeTold(columns: readonly Column[]): { readonly lines: readonly string[]; readonly isKept: boolean } {
  const share = (name: string, of: string, key: 'sustained' | 'processCpu') => {
    const [one, other] = [name, of].map((each) => columns.find((column) => column.name === each));
    return one === undefined || other === undefined ? Number.NaN : medianOf(one, key) / medianOf(other, key);
  };
  const judged = bounds.map(({ column, of, least }) => {
    const throughput = share(column, of, 'sustained');
    // Without that part of a round there is nothing to judge.
    const isKept = least === null || !(throughput < least);
    const verdict = Number.isNaN(throughput) ? 'not measured' : isKept ? 'kept' : 'BROKEN';
    const bound = least === null ? 'no bound' : `at least ${least}: ${verdict}`;
    const cpu = formatNumber(share(column, of, 'processCpu'));
    const text = `${column.padEnd(14)} ${formatNumber(throughput)} of the throughput of ${of} (${bound}); CPU of the process × ${cpu}`;
    return { text, isKept };
  });
  return { lines: judged.map(({ text }) => text), isKept: judged.every(({ isKept }) => isKept) };
}
