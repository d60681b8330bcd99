// The simulated carrier: books and recalls shipments, each idempotent by our key.
//
// Promises: a key books at most once and repeats its first answer; used with another order, country or
// content it is refused. A recall takes the key for good: from then on `book` answers `closed`, also
// where a shipment was booked, for none will leave any more. A recall that is refused as too late
// changes nothing, so it may be asked again.
// Relies on being called inside `ledger.inTurn`, one call after the other.

import type { BookAnswer, Carrier, RecallAnswer } from '../../flow/ports.ts';
import { type Entry, type Ledger, tombstone } from './ledger.ts';
import { assertSameUse, refused } from './troubles.ts';

export const carrierKeyWindowMs = 24 * 3_600_000;

type BookRequest = Parameters<Carrier['book']>[0];
type RecallRequest = Parameters<Carrier['recall']>[0];
// `refuses` is a stage direction.
type Scene = { readonly refuses: boolean; readonly now: Date };

// Without tombstones a key repeats its first answer for good, whatever was undone since.
function toAnswer(entry: Entry, hasTombstones: boolean): BookAnswer {
  const isBooked = entry.state === 'booked' || (entry.state === 'recalled' && !hasTombstones);
  if (isBooked && entry.reference !== null) return { outcome: 'booked', bookingId: entry.reference };
  if (entry.state === 'rejected') return { outcome: 'rejected', code: entry.code ?? 'not-deliverable' };
  return { outcome: 'closed' };
}

export function createCarrier(options: {
  readonly ledger: Ledger;
  readonly newId: () => string;
  // False = it cannot undo what it does not know.
  readonly hasTombstones: boolean;
}) {
  const { ledger, newId, hasTombstones } = options;

  return {
    book: (request: BookRequest, scene: Scene): BookAnswer => {
      // Member by member: a database may hand the same items back with their members in another order.
      const items = request.items.map(({ sku, quantity, unitPrice }) => ({ sku, quantity, unitPrice }));
      const terms = JSON.stringify({ country: request.country, items });
      const known = ledger.find('carrier', request.key);
      if (known !== null) {
        assertSameUse(known, request.orderId, terms);
        return toAnswer(known, hasTombstones);
      }
      const nowMs = scene.now.getTime();
      const entry = {
        partner: 'carrier',
        key: request.key,
        orderId: request.orderId,
        state: scene.refuses ? 'rejected' : 'booked',
        reference: scene.refuses ? null : `booking-${newId()}`,
        code: scene.refuses ? 'not-deliverable' : null,
        terms,
        expiresAtMs: null,
        createdAtMs: nowMs,
      } as const;
      ledger.add(entry);
      return toAnswer({ ...entry, position: 0, changedAtMs: nowMs }, hasTombstones);
    },

    recall: (request: RecallRequest, scene: Scene): RecallAnswer => {
      const entry = ledger.find('carrier', request.key);
      if (entry === null) {
        if (!hasTombstones) throw refused('unknown-booking', 'There is no such booking.');
        // A booking that is still on its way finds the key taken.
        ledger.add(tombstone('carrier', request, scene.now));
        return { outcome: 'nothing-booked' };
      }
      assertSameUse(entry, request.orderId, null);
      if (entry.reference === null) return { outcome: 'nothing-booked' };
      if (entry.state === 'recalled') return { outcome: 'recalled', bookingId: entry.reference };
      if (scene.refuses) return { outcome: 'refused', bookingId: entry.reference, code: 'too-late' };
      ledger.move('carrier', request.key, 'recalled', scene.now.getTime());
      return { outcome: 'recalled', bookingId: entry.reference };
    },

    lookup: (key: string): BookAnswer | null => {
      const entry = ledger.find('carrier', key);
      return entry === null ? null : toAnswer(entry, hasTombstones);
    },

    countryOf: (key: string): string | null => {
      const terms = ledger.find('carrier', key)?.terms ?? null;
      return terms === null ? null : (JSON.parse(terms) as { country: string }).country;
    },
  };
}
