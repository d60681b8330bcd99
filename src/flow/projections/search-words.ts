// The words by which free text finds an order, the same for every search engine: they are made here, and an
// engine only compares them.
//
// Promises: case does not matter; a word of a question finds an order where it stands at the beginning of a
// word, or of a part of a word (`doe`, `doe@example` and `example.com` find `jane.doe@example.com`); one of
// less than three letters has to be a whole part; an id is found whole. Nothing in a question is syntax.
// Words are bounded in length and number, on both sides in the same way.

import type { Order } from '../../domain/order.ts';
import type { SoughtWord } from './search-ports.ts';

// Longer ones are compared by their beginnings. Keeps the longest text of a customer small in an index.
const wordLengthMax = 64;
// An order of a hundred lines has some three hundred.
const wordsMax = 512;
// What of a question is looked for; a person types less.
export const questionWordsMax = 10;
// Shorter ones begin too many words for an index to gather.
const beginningLengthMin = 3;

// Stands before what is no word of anybody's, for no word begins with a sign.
const sign = '.';

const blanks = /[\p{Z}\p{C}]+/u;
const signs = /[\p{P}\p{Z}\p{C}]+/gu;
const edges = /^[\p{P}]+|[\p{P}]+$/gu;
const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

const plain = (text: string) => text.normalize('NFKC').toLowerCase();
const cut = (word: string) => [...word].slice(0, wordLengthMax).join('');

type Worded = Pick<
  Order,
  'id' | 'customerEmail' | 'userId' | 'items' | 'productType' | 'country' | 'currency' | 'reason'
>;

export function wordsOf(order: Worded, statuses: readonly string[]): string[] {
  const { customerEmail, userId, items, productType, country, currency, reason } = order;
  const texts = [customerEmail, userId, productType, country, currency, ...statuses, reason?.code, reason?.message];
  const words = new Set([sign + order.id]);
  for (const text of [...texts, ...items.map(({ sku }) => sku)]) {
    if (text === null || text === undefined) continue;
    for (const word of plain(text).split(blanks)) addParts(words, word.replace(edges, ''));
  }
  return [...words].slice(0, wordsMax);
}

// The word from each of its parts on, and each part by itself: a short word is compared whole.
function addParts(words: Set<string>, word: string): void {
  let from = 0;
  for (const { index, 0: between } of word.matchAll(signs)) {
    if (words.size > wordsMax) return;
    words.add(cut(word.slice(from)));
    words.add(cut(word.slice(from, index)));
    from = index + between.length;
  }
  if (from < word.length) words.add(cut(word.slice(from)));
}

// Null = it has more words than are looked for; none at all find nothing.
export function wordsOfQuestion(question: string): SoughtWord[] | null {
  const words = plain(question)
    .split(blanks)
    .map((word) => word.replace(edges, ''))
    .filter((word) => word !== '');
  const different = [...new Set(words)];
  if (different.length > questionWordsMax) return null;
  return different.map((word) => ({
    word: cut(word),
    isBeginning: [...word].length >= beginningLengthMin,
    orId: uuid.test(word) ? sign + word : null,
  }));
}

// What an engine compares whole, kept among the words: a filter costs no index of its own.
export const filterWord = (name: 'status' | 'email' | 'type' | 'country', value: string) =>
  `${sign}${name}${sign}${value}`;
