// Amounts as people read them.
//
// Promises: exact, for every amount and currency that an order may have. Alone in its file, so that it can be
// tried without a browser.

import { decimals } from './currencies.js';

export function money(minor, currency) {
  const places = decimals[currency] ?? 2;
  const style = { style: 'currency', currency, currencyDisplay: 'code', minimumFractionDigits: places };
  const digits = String(minor).padStart(places + 1, '0');
  const point = digits.length - places;
  // As a decimal string, which is formatted exactly: a division would cost the last digits of large amounts.
  return new Intl.NumberFormat('en', style).format(`${digits.slice(0, point)}.${digits.slice(point) || '0'}`);
}
