// The one table: a row per number, a column per contender, the ratio to the first one before each number.
//
// Promises: a ratio above 1 says that the first one is better, whichever way is better for the number; a
// number is the median of the rounds, with half of the distance between the extremes behind it. Nothing is
// rounded to look better than it is (three significant digits).

import { type MetricKey, metrics, type Numbers } from './metrics.ts';
import { median } from './quantiles.ts';

export type Column = { readonly name: string; readonly rounds: readonly Numbers[] };

export function formatTable(columns: readonly Column[]): string {
  const all = cellsOf(columns);
  const widths = all[0]?.map((_, at) => Math.max(...all.map((line) => line[at]?.length ?? 0))) ?? [];
  const format = (line: readonly string[]) =>
    line.map((cell, at) => (at === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[at] ?? 0))).join('   ');
  return all.map(format).join('\n');
}

// The same for a document.
export function markdownTable(columns: readonly Column[]): string {
  const [header = [], ...lines] = cellsOf(columns).map((line) => `| ${line.join(' | ')} |`);
  return [header, `|${'---|'.repeat(columns.length + 1)}`, ...lines].join('\n');
}

function cellsOf(columns: readonly Column[]): string[][] {
  const keys = (Object.keys(metrics) as MetricKey[]).filter((key) => columns.some((column) => isKnown(column, key)));
  const header = ['', ...columns.map(({ name }) => name)];
  const lines = keys.map((key) => {
    const { name, unit } = metrics[key];
    const cells = columns.map((column, at) => cellOf(column, key, at === 0 ? null : (columns[0] ?? null)));
    return [unit === '' ? name : `${name}, ${unit}`, ...cells];
  });
  return [header, ...lines];
}

export function medianOf({ rounds }: Column, key: MetricKey): number {
  return median(rounds.flatMap((round) => round[key] ?? []));
}

// How many times better the first is than the other.
export function ratioOf(first: Column, other: Column, key: MetricKey): number {
  const [ours, theirs] = [medianOf(first, key), medianOf(other, key)];
  if (metrics[key].better === null) return Number.NaN;
  return metrics[key].better === 'more' ? ours / theirs : theirs / ours;
}

function isKnown(column: Column, key: MetricKey): boolean {
  return column.rounds.some((round) => round[key] !== undefined);
}

function cellOf(column: Column, key: MetricKey, first: Column | null): string {
  if (!isKnown(column, key)) return '–';
  const values = column.rounds.flatMap((round) => round[key] ?? []);
  const spread = (Math.max(...values) - Math.min(...values)) / 2;
  const number = formatNumber(median(values)) + (values.length < 2 ? '' : ` ± ${formatNumber(spread)}`);
  const ratio = first === null ? Number.NaN : ratioOf(first, column, key);
  return Number.isFinite(ratio) && ratio > 0 ? `${formatNumber(ratio)}×  ${number}` : number;
}

export function formatNumber(value: number): string {
  if (!Number.isFinite(value)) return '–';
  if (Math.abs(value) < 1000) return String(Number(value.toPrecision(3)));
  return Math.round(value).toLocaleString('en').replaceAll(',', ' ');
}
