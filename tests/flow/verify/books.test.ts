import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Count } from '../../../src/flow/projections/books.ts';
import { type BookReads, checkDay } from '../../../src/flow/verify/books.ts';

const day = '2026-11-21';
const line = (count: number, value = 'PENDING'): Count => ({
  ...{ day, measure: 'status', value, currency: 'EUR', country: 'DE' },
  ...{ count, amount: BigInt(count * 100) },
});
const written = (count: number, writer: string, value?: string) => ({ ...line(count, value), writer });

// The lines as they are at one look after the other; facts in as many parts as are given.
function readsOf(looks: readonly Awaited<ReturnType<BookReads['lines']>>[], parts: readonly (readonly Count[])[]) {
  let looked = 0;
  const reads: BookReads = {
    lines: async () => {
      looked += 1;
      return looks[Math.min(looked, looks.length) - 1] ?? [];
    },
    counted: async function* () {
      yield* parts;
    },
  };
  return { reads, looked: () => looked };
}
const check = (reads: BookReads) => checkDay(reads, day, () => {});

describe('the books of a day against its facts', () => {
  it('are equal where both say the same, however the facts are dealt out', async () => {
    const { reads } = readsOf(
      [[written(3, '7')]],
      [[line(1)], [line(4)], [line(-2), line(2, 'FAILED'), line(-2, 'FAILED')]],
    );
    assert.deepEqual(await check(reads), []);
  });

  it('are named line by line where they differ, on either side', async () => {
    const { reads } = readsOf([[written(3, '7'), written(1, '7', 'FAILED')]], [[line(2), line(5, 'CANCELED')]]);
    const found = await check(reads);
    assert.ok(found !== 'busy');
    assert.deepEqual(found.map(({ subject, what }) => `${subject} ${what}`).toSorted(), [
      `${day} status CANCELED EUR DE: the books say 0 (0), the facts 5 (500)`,
      `${day} status FAILED EUR DE: the books say 1 (100), the facts 0 (0)`,
      `${day} status PENDING EUR DE: the books say 3 (300), the facts 2 (200)`,
    ]);
  });

  it('say nothing where something was counted meanwhile, also where the sum is the same again', async () => {
    const there = [written(3, '7')];
    for (const later of [[written(4, '8')], [written(3, '8')], [...there, written(1, '8', 'FAILED')], []]) {
      assert.equal(await check(readsOf([there, later], [[line(9)]]).reads), 'busy');
    }
  });

  it('are left alone soon where others write to them', async () => {
    const parts = Array.from({ length: 1_000 }, () => [line(1)]);
    const { reads, looked } = readsOf([[written(1, '7')], [written(1, '7')], [written(2, '8')]], parts);
    assert.equal(await check(reads), 'busy');
    assert.equal(looked(), 3);
  });
});
