// The arithmetic of the benchmark: what a sceptic would look at first.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Inputs, ordersPerSecond, ordersPerSecondOfPartners } from '../bench/model.ts';
import { median, quantiles } from '../bench/quantiles.ts';
import { judgeSoak } from '../bench/soak.ts';
import { formatTable, ratioOf } from '../bench/table.ts';

describe('a quantile', () => {
  it('is one of the numbers, and none of them is above the highest', () => {
    const values = Array.from({ length: 1000 }, (_, at) => at + 1).reverse();
    assert.deepEqual(quantiles(values), { p50: 500, p99: 990, p999: 999, max: 1000 });
    assert.deepEqual(quantiles([7]), { p50: 7, p99: 7, p999: 7, max: 7 });
  });

  it('is unknown where nothing was measured', () => {
    assert.ok(Number.isNaN(quantiles([]).p99));
    assert.ok(Number.isNaN(median([])));
  });

  it('in the middle lies between two numbers where there is no middle one', () => {
    assert.equal(median([9, 1, 4]), 4);
    assert.equal(median([9, 1, 4, 2]), 3);
  });
});

describe('the table', () => {
  const first = { name: 'first', rounds: [{ sustained: 100, postP99: 10, others: 1 }] };
  const other = { name: 'other', rounds: [{ sustained: 50, postP99: 40, others: 2 }] };

  it('has a ratio above 1 where the first one is better, whichever way is better', () => {
    assert.equal(ratioOf(first, other, 'sustained'), 2);
    assert.equal(ratioOf(first, other, 'postP99'), 4);
    assert.equal(ratioOf(other, first, 'postP99'), 0.25);
  });

  it('gives no ratio to what says how far the others can be trusted', () => {
    assert.ok(Number.isNaN(ratioOf(first, other, 'others')));
  });

  it('shows the median of the rounds and half of what lies between the extremes', () => {
    const rounds = [{ sustained: 90 }, { sustained: 100 }, { sustained: 120 }];
    assert.match(formatTable([{ name: 'first', rounds }]), /orders, POST to finished, sustained, \/s +100 ± 15$/m);
  });
});

describe('the soak', () => {
  const sample = (minute: number, postP99: number) => ({
    minute,
    postP50: 5,
    postP99,
    processedP50: 20,
    processedP99: 60,
    residentMb: 300,
    passingMb: 40,
    stayingPerOrder: 4,
  });
  const soakOf = (latencyAt: (minute: number) => number) => ({
    perSecond: 500,
    orders: 1_000,
    samples: Array.from({ length: 40 }, (_, minute) => sample(minute, latencyAt(minute))),
  });

  it('is flat although single samples are not', () => {
    assert.equal(judgeSoak(soakOf((minute) => (minute % 7 === 0 ? 80 : 20))).isFlat, true);
  });

  it('is not flat where latency rises all the time', () => {
    const { isFlat, lines } = judgeSoak(soakOf((minute) => 20 + minute));
    assert.equal(isFlat, false);
    assert.match(lines.join('\n'), /POST, p99, ms .* GROWS/);
  });
});

describe('the model', () => {
  const inputs: Inputs = {
    ...{ cores: 2, processCpu: 0.5, postgresCpu: 0.4, loadCpu: 0.1 },
    ...{ rows: 21, statements: 0.4, commits: 0.2, wal: 10, kept: 4 },
  };

  it('lets through what the cores of the machine do, and no more than one core does for a process', () => {
    assert.equal(ordersPerSecond(inputs), 2_000);
    assert.equal(ordersPerSecond({ ...inputs, cores: 1 }), 1_000);
    assert.equal(ordersPerSecond({ ...inputs, cores: 64 }), 2_000);
  });

  it('lets slow partners through what fits into the calls that a backlog is given', () => {
    assert.equal(ordersPerSecondOfPartners(64, 1_000), 48);
    assert.equal(ordersPerSecondOfPartners(256, 500), 384);
  });
});
