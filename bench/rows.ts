// What a load report says as rows of the table, the same for every system under load.
//
// Promises: a row names how its number came about, and an order that was refused is told in it.

import type { LoadReport } from './load.ts';
import { formatNumber, type Row } from './table.ts';

export function fillRow(group: string, { accepted, processedPerSecond }: LoadReport): Row {
  const name = `placing ${formatNumber(accepted)}: orders`;
  return { group, name, value: processedPerSecond ?? Number.NaN, unit: '/s', how: 'a sustained load as below' };
}

export function burstRows(
  group: string,
  burst: LoadReport,
  connections: number,
  goal?: { readonly atLeast: number },
): Row[] {
  const { postMs, accepted } = burst;
  return [
    {
      group,
      name: `burst of ${formatNumber(accepted)}: accepted`,
      value: burst.acceptedPerSecond ?? Number.NaN,
      unit: '/s',
      ...(goal === undefined ? {} : { goal }),
      how: `${connections} connections; POST p50 ${ms(postMs.p50)}, p99 ${ms(postMs.p99)}${refusalsOf(burst)}`,
    },
    {
      group,
      name: `burst of ${formatNumber(accepted)}: orders`,
      value: burst.processedPerSecond ?? Number.NaN,
      unit: '/s',
      how: `from the first POST to the last PROCESSED: ${formatNumber(burst.processedMs / 1000)} s`,
    },
  ];
}

export function sustainedRows(
  group: string,
  report: LoadReport,
  bound: number,
  goal: { readonly atLeast: number },
): Row[] {
  const { postMs, processedPerSecond } = report;
  return [
    {
      group,
      name: 'sustained: orders',
      value: processedPerSecond ?? Number.NaN,
      unit: '/s',
      goal,
      how: `at most ${formatNumber(bound)} unfinished; slowest second ${formatNumber(slowestSecond(report))}`,
    },
    {
      group,
      name: 'sustained: POST, p50',
      value: postMs.p50,
      unit: 'ms',
      how: `p99 ${ms(postMs.p99)}, longest ${ms(postMs.max)}${refusalsOf(report)}`,
    },
    {
      group,
      name: 'sustained: CPU of the process',
      value: report.cores,
      unit: 'cores',
      how: `the load took ${formatNumber(report.loadCores)}`,
    },
  ];
}

export function watchedRow(group: string, { processedAfterMs, accepted }: LoadReport, askEveryMs: number): Row {
  return {
    group,
    name: 'idle: the same as a client sees it, p50',
    value: processedAfterMs?.p50 ?? Number.NaN,
    unit: 'ms',
    how: `p99 ${ms(processedAfterMs?.p99)}; ${accepted} orders from sending the POST, GET every ${askEveryMs} ms`,
  };
}

export function memoryRows(
  group: string,
  reports: readonly LoadReport[],
  restedMb: number,
  restSeconds: number,
  goal?: { readonly atMost: number },
): Row[] {
  const value = Math.max(...reports.map(({ residentMbMax }) => residentMbMax));
  return [
    {
      group,
      name: 'resident memory, highest',
      value,
      unit: 'MB',
      ...(goal === undefined ? {} : { goal }),
      how: `of the process under these loads; ${formatNumber(restedMb)} MB ${restSeconds} s after them`,
    },
  ];
}

// What ended in the slowest second of the measured time.
function slowestSecond({ samples, measuredFromMs, acceptedMs }: LoadReport): number {
  const inside = samples.filter(({ atMs }) => atMs >= measuredFromMs && atMs <= acceptedMs);
  const rates = inside.flatMap((sample) => {
    const later = inside.find(({ atMs }) => atMs >= sample.atMs + 1000);
    return later === undefined ? [] : [((later.processed - sample.processed) / (later.atMs - sample.atMs)) * 1000];
  });
  return Math.min(...rates);
}

function refusalsOf({ refused }: LoadReport): string {
  return refused === 0 ? '' : `; ${formatNumber(refused)} REFUSED`;
}

export function ms(value: number | undefined): string {
  return `${formatNumber(value ?? Number.NaN)} ms`;
}
