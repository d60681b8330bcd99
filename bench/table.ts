// The one table: a row per measured number, in groups. A row of another system fits in as well.
//
// Promises: a goal is shown beside its number with whether it was met; nothing is rounded to look better
// than it is (three significant digits).

export type Row = {
  readonly group: string;
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  readonly goal?: { readonly atLeast: number } | { readonly atMost: number };
  // How it was measured, and what else was seen meanwhile.
  readonly how: string;
};

export function meetsGoal({ value, goal }: Row): boolean {
  if (goal === undefined) return true;
  return 'atLeast' in goal ? value >= goal.atLeast : value <= goal.atMost;
}

export function formatTable(rows: readonly Row[]): string {
  const unitWidth = Math.max(...rows.map(({ unit }) => unit.length));
  const cells = rows.map((row) => ({
    row,
    result: `${formatNumber(row.value)} ${row.unit.padEnd(unitWidth)}`,
    goal: goalOf(row),
  }));
  const width = (of: (cell: (typeof cells)[number]) => string) => Math.max(...cells.map((cell) => of(cell).length));
  const [names, results, goals] = [
    width(({ row }) => row.name),
    width(({ result }) => result),
    width(({ goal }) => goal),
  ];
  const lines: string[] = [];
  let group = '';
  for (const { row, result, goal } of cells) {
    if (row.group !== group) lines.push('', row.group);
    group = row.group;
    lines.push(`  ${row.name.padEnd(names)}  ${result.padStart(results)}  ${goal.padEnd(goals)}  ${row.how}`.trimEnd());
  }
  return lines.join('\n').trimStart();
}

function goalOf(row: Row): string {
  const { goal } = row;
  if (goal === undefined) return '';
  const asked = 'atLeast' in goal ? `≥ ${formatNumber(goal.atLeast)}` : `≤ ${formatNumber(goal.atMost)}`;
  return `${asked} ${meetsGoal(row) ? 'met' : 'MISSED'}`;
}

export function formatNumber(value: number): string {
  if (!Number.isFinite(value)) return '–';
  if (Math.abs(value) < 1000) return String(Number(value.toPrecision(3)));
  return Math.round(value).toLocaleString('en').replaceAll(',', ' ');
}
