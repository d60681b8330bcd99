import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { decimalsOf, isCountry, isCurrency, priceList, totalOf } from '../../src/domain/money.ts';

const line = fc.record({
  quantity: fc.integer({ min: 1, max: 10_000 }),
  unitPrice: fc.integer({ min: 0, max: 10 ** 12 }),
});
const lines = fc.array(line, { minLength: 1, maxLength: 100 });

// Schoolbook arithmetic on strings of digits: no number type of the language takes part.
function sumOf(items: readonly { quantity: number; unitPrice: number }[]): string {
  const add = (one: string, other: string) => {
    let carry = 0;
    let sum = '';
    for (let place = 1; place <= Math.max(one.length, other.length) || carry > 0; place += 1) {
      const digit = Number(one.at(-place) ?? 0) + Number(other.at(-place) ?? 0) + carry;
      sum = String(digit % 10) + sum;
      carry = digit > 9 ? 1 : 0;
    }
    return sum.replace(/^0+(?=\d)/, '');
  };
  let total = '0';
  for (const { quantity, unitPrice } of items) {
    let shifted = String(unitPrice);
    for (const digit of [...String(quantity)].reverse()) {
      for (let times = 0; times < Number(digit); times += 1) total = add(total, shifted);
      shifted += '0';
    }
  }
  return total;
}
const fits = (sum: string) => sum !== '0' && (sum.length < 16 || (sum.length === 16 && sum <= '9007199254740991'));

describe('a total', () => {
  it('is the exact sum of quantity times price, or nothing where a number could not hold it', () => {
    fc.assert(
      fc.property(lines, (items) => {
        const sum = sumOf(items);
        const total = totalOf(items);
        assert.equal(total === null ? 'nothing' : String(total), fits(sum) ? sum : 'nothing');
      }),
      { numRuns: 200 },
    );
  });

  it('does not depend on the order of the lines', () => {
    fc.assert(fc.property(lines, (items) => totalOf(items) === totalOf([...items].reverse())));
  });

  it('reaches the largest exact number, and not one unit more', () => {
    const most = Number.MAX_SAFE_INTEGER;
    assert.equal(totalOf([{ quantity: 1, unitPrice: most }]), most);
    assert.equal(
      totalOf([
        { quantity: 1, unitPrice: most },
        { quantity: 1, unitPrice: 1 },
      ]),
      null,
    );
  });

  it('is at least one unit: nothing is not an amount', () => {
    assert.equal(totalOf([{ quantity: 1, unitPrice: 1 }]), 1);
    assert.equal(totalOf([{ quantity: 10_000, unitPrice: 0 }]), null);
    assert.equal(totalOf([]), null);
  });
});

describe('codes', () => {
  it('are those of the standards, in capitals', () => {
    assert.deepEqual(['USD', 'EUR', 'JPY', 'KWD', 'XAF'].map(isCurrency), [true, true, true, true, true]);
    assert.deepEqual(['usd', 'DEM', 'XXX', 'US', '', 'BTC', 'EURO'].map(isCurrency), Array(7).fill(false));
    assert.deepEqual(['US', 'DE', 'JP', 'AX', 'ZW'].map(isCountry), [true, true, true, true, true]);
    assert.deepEqual(['us', 'UK', 'EU', 'USA', '', 'XX'].map(isCountry), Array(6).fill(false));
  });

  it('count minor units as the standard does, also where shops know none', () => {
    assert.deepEqual(['USD', 'JPY', 'KWD', 'CLF', 'HUF', 'IQD', 'COP'].map(decimalsOf), [2, 0, 3, 4, 2, 3, 2]);
  });

  it('include the currencies that most of the world pays in', () => {
    const spelled = ['CHF', 'CNY', 'GBP', 'INR', 'BRL', 'SEK', 'PLN', 'ZAR', 'AED', 'KRW', 'MXN', 'TRY'];
    assert.deepEqual(
      spelled.filter((code) => !isCurrency(code) || !Intl.supportedValuesOf('currency').includes(code)),
      [],
    );
  });

  it('price every product in whole cents', () => {
    for (const cents of Object.values(priceList)) assert.ok(Number.isSafeInteger(cents) && cents > 0);
  });
});
