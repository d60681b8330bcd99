// The simulated payment provider: authorizes, voids and looks up, each idempotent by our key.
//
// Promises: a key has its effect at most once and repeats its first definitive answer; used with other
// parameters it is refused. A failure without effect is no answer and is not kept. A void takes the key
// for good: from then on `authorize` answers `closed`, also where money was held, for none is any more.
// The scenarios count an order's calls, not a key's, in the ledger: no restart begins the story anew.
// Relies on being called inside `ledger.inTurn`, one call after the other.

import type { AuthorizeAnswer, Payments, VoidAnswer } from '../../flow/ports.ts';
import { type Entry, type Ledger, tombstone } from './ledger.ts';
import { assertSameUse, noAnswer, refused, withoutEffect } from './troubles.ts';

// What card providers commonly keep a key for. The simulation forgets none, but its callers must look
// up after it all the same.
export const providerKeyWindowMs = 24 * 3_600_000;
// How long an authorization holds: a week, as card schemes commonly do.
const holdMs = 7 * 24 * 3_600_000;

type AuthorizeRequest = Parameters<Payments['authorize']>[0];
type VoidRequest = Parameters<Payments['void']>[0];
// `nth` counts the order's calls of this kind from 1; `refuses` is a stage direction.
type Scene = { readonly nth: number; readonly refuses: boolean; readonly now: Date };

const away = () => withoutEffect('provider-unavailable', 'The payment provider could not take the call.');

// Without tombstones a key repeats its first answer for good, whatever was undone since.
function toAnswer(entry: Entry, hasTombstones: boolean): AuthorizeAnswer {
  const isHeld = entry.state === 'authorized' || (entry.state === 'voided' && !hasTombstones);
  if (isHeld && entry.reference !== null && entry.expiresAtMs !== null) {
    return { outcome: 'authorized', authorizationId: entry.reference, expiresAt: new Date(entry.expiresAtMs) };
  }
  if (entry.state === 'declined') return { outcome: 'declined', code: entry.code ?? 'card-declined' };
  return { outcome: 'closed' };
}

export function createProvider(options: {
  readonly ledger: Ledger;
  readonly newId: () => string;
  // False = it cannot undo what it does not know.
  readonly hasTombstones: boolean;
}) {
  const { ledger, newId, hasTombstones } = options;

  function keep(request: AuthorizeRequest, terms: string, now: Date, declined: boolean): AuthorizeAnswer {
    const nowMs = now.getTime();
    const entry = {
      partner: 'payments',
      key: request.key,
      orderId: request.orderId,
      state: declined ? 'declined' : 'authorized',
      reference: declined ? null : `authorization-${newId()}`,
      code: declined ? 'card-declined' : null,
      terms,
      expiresAtMs: declined ? null : nowMs + holdMs,
      createdAtMs: nowMs,
    } as const;
    ledger.add(entry);
    return toAnswer({ ...entry, position: 0, changedAtMs: nowMs }, hasTombstones);
  }

  return {
    authorize: (request: AuthorizeRequest, scene: Scene): AuthorizeAnswer | typeof noAnswer => {
      const terms = JSON.stringify({ amount: request.amount, currency: request.currency });
      const entry = ledger.find('payments', request.key);
      if (entry !== null) {
        assertSameUse(entry, request.orderId, terms);
        return toAnswer(entry, hasTombstones);
      }
      if (scene.refuses) return keep(request, terms, scene.now, true);
      switch (request.scenario) {
        case 'success':
          return keep(request, terms, scene.now, false);
        case 'failure':
          return keep(request, terms, scene.now, true);
        case 'flaky':
          if (scene.nth <= 2) throw away();
          return keep(request, terms, scene.now, false);
        case 'timeout':
          return scene.nth === 1 ? noAnswer : keep(request, terms, scene.now, false);
        case 'lost-answer': {
          const answer = keep(request, terms, scene.now, false);
          return scene.nth === 1 ? noAnswer : answer;
        }
        case 'outage':
          if (request.epoch === 0) throw away();
          return keep(request, terms, scene.now, false);
        case 'fatal':
          throw refused('provider-refused', 'The payment provider refuses this order for good.');
      }
    },

    void: (request: VoidRequest, { refuses, now }: Scene): VoidAnswer => {
      const entry = ledger.find('payments', request.key);
      if (entry === null) {
        if (!hasTombstones) throw refused('unknown-authorization', 'There is no such authorization.');
        // An authorization that is still on its way finds the key taken.
        ledger.add(tombstone('payments', request, now));
        return { outcome: 'nothing-held' };
      }
      assertSameUse(entry, request.orderId, null);
      if (entry.reference === null) return { outcome: 'nothing-held' };
      if (entry.state === 'authorized') {
        if (refuses) return { outcome: 'refused', authorizationId: entry.reference, code: 'not-voidable' };
        ledger.move('payments', request.key, 'voided', now.getTime());
      }
      return { outcome: 'voided', authorizationId: entry.reference };
    },

    lookup: (key: string): AuthorizeAnswer | null => {
      const entry = ledger.find('payments', key);
      return entry === null ? null : toAnswer(entry, hasTombstones);
    },
  };
}
