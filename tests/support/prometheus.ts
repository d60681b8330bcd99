// Metrics as a scraper reads them, strictly: what a lenient reader would pass over fails the test here.
// Source: the exposition format of Prometheus, text version 0.0.4.

import assert from 'node:assert/strict';

// By name and labels as written. HELP and TYPE come once before the samples of a name; no sample twice.
export function readSamples(text: string): ReadonlyMap<string, number> {
  const samples = new Map<string, number>();
  const types = new Map<string, string>();
  assert.ok(text.endsWith('\n'));
  for (const line of text.trimEnd().split('\n')) {
    if (line === '') continue;
    const comment = /^# (HELP|TYPE) ([a-zA-Z_:][\w:]*) (.+)$/.exec(line);
    if (comment) {
      const [, kind, name = '', rest = ''] = comment;
      if (kind === 'HELP') continue;
      assert.match(rest, /^(counter|gauge|histogram|summary|untyped)$/, line);
      assert.ok(!types.has(name), `${name} has two types`);
      types.set(name, rest);
      continue;
    }
    const sample = /^([a-zA-Z_:][\w:]*)((?:\{(?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\.)*",?)*\})?) (\S+)( \d+)?$/.exec(line);
    assert.ok(sample, `no sample: ${line}`);
    const [, name = '', labels = '', value = ''] = sample;
    assert.ok(types.has(name) || types.has(name.replace(/_(bucket|sum|count)$/, '')), `${name} has no type`);
    assert.ok(!samples.has(name + labels), `${name}${labels} is there twice`);
    // As Go's ParseFloat reads it, whatever the dead letters' case.
    assert.ok(/^(nan|[+-]?inf)$/i.test(value) || !Number.isNaN(Number(value)), line);
    samples.set(name + labels, Number(value));
  }
  return samples;
}
