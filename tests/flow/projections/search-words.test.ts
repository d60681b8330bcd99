// The words by which orders are found: what a question means, and what an order is found by.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { questionWordsMax, wordsOf, wordsOfQuestion } from '../../../src/flow/projections/search-words.ts';
import { orderWith } from '../../support/orders.ts';

const isFound = (q: string, given: Parameters<typeof orderWith>[0]) => {
  const order = orderWith(given);
  const words = wordsOf(order, [order.status, 'OrderCreated']);
  const sought = wordsOfQuestion(q) ?? [];
  return (
    sought.length > 0 &&
    sought.every(({ word, isBeginning, orId }) =>
      words.some((own) => own === word || own === orId || (isBeginning && own.startsWith(word))),
    )
  );
};

describe('the words of an order', () => {
  it('are found by their beginnings, in any case of letters and any form of Unicode', () => {
    const given = {
      customerEmail: 'Jane.Doe@Example.com',
      userId: 'Müller',
      items: [{ sku: 'Ｌamp-42', quantity: 1, unitPrice: 1 }],
    };
    for (const q of [
      'jane',
      'DOE',
      'doe@exam',
      'example.com',
      'jane.doe@example.com',
      'mu\u0308ller',
      'MÜLL',
      'lamp-4',
      '42',
      'us',
    ]) {
      assert.ok(isFound(q, given), q);
    }
    for (const q of ['ane', 'oe@example', 'j', 'la', 'u', 'lamp-43', 'jane bob']) assert.ok(!isFound(q, given), q);
  });

  it('are bounded, however long and split a text is, and long ones are found by their beginnings', () => {
    const items = Array.from({ length: 100 }, (_, nth) => ({
      sku: `${nth}${'-x'.repeat(45)}`,
      quantity: 1,
      unitPrice: 1,
    }));
    const words = wordsOf(orderWith({ items, userId: 'a.'.repeat(120) }), []);
    assert.ok(words.length <= 512, `${words.length}`);
    assert.ok(words.every((word) => [...word].length <= 64));
    const long = 'z'.repeat(200);
    assert.ok(isFound(long, { userId: long }));
  });

  it('find an order by any of its own texts', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', minLength: 1, maxLength: 60 }), (text) => {
        const sought = wordsOfQuestion(text);
        fc.pre(sought !== null && sought.length > 0);
        assert.ok(isFound(text, { userId: text }), JSON.stringify(sought));
      }),
    );
  });
});

describe('a question', () => {
  it('without a letter or a digit has no words, and one with too many is refused', () => {
    for (const q of ['', ' ', '***', '?*?*', '"', '...', '—', '\u0000']) assert.deepEqual(wordsOfQuestion(q), []);
    const many = Array.from({ length: questionWordsMax + 1 }, (_, nth) => `word${nth}`);
    assert.equal(wordsOfQuestion(many.join(' ')), null);
    assert.equal(wordsOfQuestion(many.slice(1).join(' '))?.length, questionWordsMax);
    assert.equal(wordsOfQuestion('one One ONE '.repeat(1_000))?.length, 1);
  });
});
