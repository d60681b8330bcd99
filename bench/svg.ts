// Plots as small SVG files: horizontal bars, and lines over time.
//
// Promises: readable on a light and on a dark page; no script, no font of its own.

const width = 720;
const colors = ['#2563eb', '#d97706', '#059669', '#db2777', '#7c3aed', '#64748b'];
const text = 'font-family="system-ui, sans-serif" font-size="13" fill="#64748b"';

export type Bar = { readonly name: string; readonly value: number; readonly label: string };

export function barsSvg(title: string, bars: readonly Bar[]): string {
  const [left, top, step, labelWidth] = [150, 40, 28, 220];
  const longest = Math.max(...bars.map(({ value }) => value));
  const rows = bars.map(({ name, value, label }, at) => {
    const [y, length] = [top + at * step, ((width - left - labelWidth) * value) / longest];
    return [
      `<text x="${left - 8}" y="${y + 14}" text-anchor="end" ${text}>${escaped(name)}</text>`,
      `<rect x="${left}" y="${y}" width="${length.toFixed(1)}" height="18" fill="${at === 0 ? colors[0] : colors[5]}"/>`,
      `<text x="${(left + length + 8).toFixed(1)}" y="${y + 14}" ${text}>${escaped(label)}</text>`,
    ].join('\n');
  });
  return document(title, top + bars.length * step, rows);
}

export type Line = { readonly name: string; readonly points: readonly (readonly [x: number, y: number])[] };

// Both axes begin at 0.
export function linesSvg(title: string, unitX: string, lines: readonly Line[]): string {
  const [left, top, height, right] = [60, 40, 200, 160];
  const all = lines.flatMap(({ points }) => points);
  const [maxX, maxY] = [Math.max(...all.map(([x]) => x)), Math.max(...all.map(([, y]) => y)) || 1];
  const place = ([x, y]: readonly [number, number]) =>
    `${(left + ((width - left - right) * x) / maxX).toFixed(1)},${(top + height - (height * y) / maxY).toFixed(1)}`;
  const axis = `<path d="M${left},${top}V${top + height}H${width - right}" fill="none" stroke="#94a3b8"/>`;
  const labels = [
    `<text x="${left - 6}" y="${top + 10}" text-anchor="end" ${text}>${Number(maxY.toPrecision(3))}</text>`,
    `<text x="${left - 6}" y="${top + height}" text-anchor="end" ${text}>0</text>`,
    `<text x="${width - right}" y="${top + height + 18}" text-anchor="end" ${text}>${Number(maxX.toPrecision(3))} ${unitX}</text>`,
  ];
  const drawn = lines.map(({ name, points }, at) => {
    const color = colors[at % colors.length];
    return [
      `<polyline points="${points.map(place).join(' ')}" fill="none" stroke="${color}" stroke-width="2"/>`,
      `<text x="${width - right + 12}" y="${top + 14 + at * 20}" ${text.replace('#64748b', String(color))}>${escaped(name)}</text>`,
    ].join('\n');
  });
  return document(title, top + height + 24, [axis, ...labels, ...drawn]);
}

function document(title: string, height: number, content: readonly string[]): string {
  const heading = `<text x="0" y="18" ${text.replace('13', '15')}>${escaped(title)}</text>`;
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img">`;
  return `${[svg, `<title>${escaped(title)}</title>`, heading, ...content, '</svg>'].join('\n')}\n`;
}

function escaped(words: string): string {
  return words.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}
