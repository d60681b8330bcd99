// What `verify` found, counted per promise, as a table for people or a document for programs.
//
// Promises: memory does not grow with the number of findings: the first of each promise are kept, the
// others counted. Lines of the table have at most 120 columns, except where a finding is longer.

import { type Finding, type PromiseName, promiseNames, promises } from '../flow/verify/promises.ts';

// Findings that are named per promise.
const namedMax = 20;

export type Counted = (typeof promises)[PromiseName]['counted'];
export type Verdict = {
  readonly status: 'ok' | 'violated';
  readonly since: string | null;
  readonly orders: number;
  readonly durationMs: number;
  readonly promises: readonly {
    readonly name: PromiseName;
    readonly promise: string;
    readonly status: 'ok' | 'late' | 'violated';
    readonly checked: number;
    readonly unit: Counted;
    readonly found: number;
    // The first of them.
    readonly findings: readonly { readonly id: string; readonly what: string; readonly remedy: string }[];
  }[];
};

export function createReport(withLedger: boolean) {
  const checked: Record<Counted, number> = { orders: 0, rows: 0, debts: 0, keys: 0, days: 0, entries: 0 };
  const found = new Map<PromiseName, { count: number; findings: Finding[] }>();

  // `count` where more were found than are named.
  function add(promise: PromiseName, findings: readonly Finding[], count = findings.length): void {
    const so = found.get(promise) ?? { count: 0, findings: [] };
    so.findings.push(...findings.slice(0, namedMax - so.findings.length));
    found.set(promise, { count: so.count + count, findings: so.findings });
  }

  return {
    add,
    addAll: (findings: readonly Finding[]) => {
      for (const finding of findings) add(finding.promise, [finding]);
    },
    saw: (unit: Counted, count: number) => {
      checked[unit] += count;
    },
    orders: () => checked.orders,
    verdict: (since: Date | null, durationMs: number): Verdict => {
      const rows = promiseNames
        .filter((name) => withLedger || !promises[name].byLedger)
        .map((name) => {
          const { promise, counted: unit, kind, remedy } = promises[name];
          const { count, findings } = found.get(name) ?? { count: 0, findings: [] };
          const bad = kind === 'always' ? ('violated' as const) : ('late' as const);
          const status = count === 0 ? ('ok' as const) : bad;
          const named = findings.map(({ subject, what }) => ({ id: subject, what, remedy }));
          return { name, promise, status, checked: checked[unit], unit, found: count, findings: named };
        });
      return {
        status: rows.some((row) => row.status === 'violated') ? 'violated' : 'ok',
        since: since?.toISOString() ?? null,
        orders: checked.orders,
        durationMs: Math.round(durationMs),
        promises: rows,
      };
    },
  };
}

const spaced = (count: number) => String(count).replace(/\B(?=(\d{3})+$)/g, ' ');

export function toTable(verdict: Verdict): string {
  const cells = [
    ['promise', 'checked', 'found', ''],
    ...verdict.promises.map(({ name, checked, unit, found, status }) => [
      name,
      `${spaced(checked)} ${unit}`,
      found === 0 ? '–' : spaced(found),
      status === 'violated' ? 'VIOLATED' : status,
    ]),
  ];
  const widths = [0, 1, 2].map((column) => Math.max(...cells.map((row) => (row[column] ?? '').length)));
  const lines = cells.map(([name = '', checked = '', found = '', status = '']) =>
    `  ${name.padEnd(widths[0] ?? 0)}  ${checked.padStart(widths[1] ?? 0)}  ${found.padStart(widths[2] ?? 0)}  ${status}`.trimEnd(),
  );
  const perSecond = Math.round(verdict.orders / Math.max(0.001, verdict.durationMs / 1000));
  const since = verdict.since === null ? '' : ` placed since ${verdict.since}`;
  const seconds = (verdict.durationMs / 1000).toFixed(1);
  return [
    `${spaced(verdict.orders)} ${verdict.orders === 1 ? 'order' : 'orders'}${since} in ${seconds} s (${spaced(perSecond)} per second)`,
    '',
    ...lines,
    ...verdict.promises.filter(({ found }) => found > 0).flatMap(toParagraph),
    '',
    closing(verdict),
  ].join('\n');
}

function toParagraph({ name, promise, found, findings }: Verdict['promises'][number]): string[] {
  const rest = found - findings.length;
  return [
    '',
    `${name}: ${promise}`,
    ...findings.map(({ id, what }) => `  ${id}  ${what}`),
    ...(rest > 0 ? [`  and ${spaced(rest)} more`] : []),
    `  → ${findings[0]?.remedy ?? promises[name].remedy}`,
  ];
}

function closing(verdict: Verdict): string {
  const of = (status: string) => verdict.promises.filter((row) => row.status === status).length;
  const late = of('late') === 0 ? '' : `, ${of('late')} kept late`;
  if (verdict.status === 'violated') return `${of('violated')} of ${verdict.promises.length} promises violated${late}.`;
  return `All ${verdict.promises.length} promises kept${late}.`;
}
