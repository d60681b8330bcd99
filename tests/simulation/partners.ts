// Provider, carrier and mail of the simulation: what they hold, as plain state machines, and a ledger of
// all that they ever did. This is the outside that the invariants believe.
//
// Promises of the ports, written down here anew and not taken from src/io: a key has its effect at most
// once and repeats its first answer; an undo takes the key for good; a failure without effect is no
// answer. No fault and no latency lives here: what is lost on the way is the network's business.

import { OutsideError } from '../../src/engine/ports.ts';
import type {
  AuthorizeAnswer,
  BookAnswer,
  Carrier,
  Mail,
  MailKind,
  Payments,
  RecallAnswer,
  VoidAnswer,
} from '../../src/flow/ports.ts';
import type { IndexAnswer, OrderDocument } from '../../src/flow/projections/search-ports.ts';

export type PartnerName = 'payments' | 'carrier' | 'mail';
export type LedgerEntry = {
  readonly partner: PartnerName;
  readonly key: string;
  readonly orderId: string;
  state: 'authorized' | 'voided' | 'declined' | 'booked' | 'recalled' | 'rejected' | 'sent' | 'closed';
  // The partner's own id of what was done; null where nothing was.
  readonly reference: string | null;
  // What the key stands for, by its first use; null on a tombstone.
  readonly terms: Terms | null;
  readonly createdAtMs: number;
  readonly expiresAtMs: number | null;
};
export type Terms = {
  readonly amount?: number;
  readonly currency?: string;
  readonly country?: string;
  readonly items?: string;
  readonly kind?: MailKind;
  readonly to?: string;
};

// One thing that a partner did, in the order it did them.
export type PartnerAct = {
  readonly atMs: number;
  readonly partner: PartnerName;
  readonly key: string;
  readonly orderId: string;
  readonly act: LedgerEntry['state'] | 'recall-refused' | 'key-misused';
  readonly entry: LedgerEntry;
};

// Stands for an answer that never arrives, because the scenario of the order says so.
export const silence = Symbol('silence');

type AuthorizeRequest = Parameters<Payments['authorize']>[0];
type VoidRequest = Parameters<Payments['void']>[0];
type BookRequest = Parameters<Carrier['book']>[0];
type RecallRequest = Parameters<Carrier['recall']>[0];
type SendRequest = Parameters<Mail['send']>[0];

const holdMs = 7 * 24 * 3_600_000;
const never = () => false;

// A document as it was brought, in the order in which they came; `isStored` is the search's own word.
export type Brought = { readonly atMs: number; readonly document: OrderDocument; readonly isStored: boolean };

export type ModelPartners = ReturnType<typeof createModelPartners>;

export function createModelPartners(options: {
  readonly nowMs: () => number;
  // The carrier's own no, by order.
  readonly rejects?: (orderId: string) => boolean;
  readonly refusesRecall?: (orderId: string) => boolean;
  // Whose first document the search refuses for its own sake.
  readonly refusesDocument?: (orderId: string) => boolean;
  // Beyond this age the provider and the carrier do anew what they are asked, as if they had never heard
  // of the key; undos are remembered for good.
  readonly forgetsAfterMs?: number;
}) {
  const { nowMs, rejects = never, refusesRecall = never, refusesDocument = never } = options;
  const { forgetsAfterMs = Number.POSITIVE_INFINITY } = options;
  const entries: LedgerEntry[] = [];
  const entriesByOrder = new Map<string, LedgerEntry[]>();
  const actsByOrder = new Map<string, PartnerAct[]>();
  const latest = new Map<string, LedgerEntry>();
  // The scenarios count an order's calls, not a key's.
  const authorizeCalls = new Map<string, number>();

  function tell(entry: LedgerEntry, act: PartnerAct['act']): void {
    const told = { atMs: nowMs(), partner: entry.partner, key: entry.key, orderId: entry.orderId, act, entry };
    const acts = actsByOrder.get(entry.orderId);
    if (acts === undefined) actsByOrder.set(entry.orderId, [told]);
    else acts.push(told);
  }

  function add(entry: Omit<LedgerEntry, 'reference' | 'createdAtMs'>, prefix: string | null): LedgerEntry {
    const reference = prefix === null ? null : `${prefix}-${entries.length + 1}`;
    const kept = { ...entry, reference, createdAtMs: nowMs() };
    entries.push(kept);
    const ofOrder = entriesByOrder.get(kept.orderId);
    if (ofOrder === undefined) entriesByOrder.set(kept.orderId, [kept]);
    else ofOrder.push(kept);
    latest.set(`${kept.partner} ${kept.key}`, kept);
    tell(kept, kept.state);
    return kept;
  }

  function move(entry: LedgerEntry, state: LedgerEntry['state']): void {
    entry.state = state;
    tell(entry, state);
  }

  function find(partner: PartnerName, key: string, orderId: string, terms: Terms | null): LedgerEntry | null {
    const entry = latest.get(`${partner} ${key}`);
    if (entry === undefined) return null;
    const sameTerms = terms === null || entry.terms === null || equal(entry.terms, terms);
    if (entry.orderId !== orderId || !sameTerms) {
      tell(entry, 'key-misused');
      throw no('key-parameters-changed', 'the key stands for something else');
    }
    return entry;
  }
  const isForgotten = (entry: LedgerEntry) =>
    entry.state !== 'closed' && entry.state !== 'voided' && entry.state !== 'recalled'
      ? nowMs() - entry.createdAtMs > forgetsAfterMs
      : false;

  function authorize(request: AuthorizeRequest): AuthorizeAnswer | typeof silence {
    const { key, orderId, amount, currency, scenario, epoch } = request;
    const nth = (authorizeCalls.get(orderId) ?? 0) + 1;
    authorizeCalls.set(orderId, nth);
    const terms = { amount, currency };
    const known = find('payments', key, orderId, terms);
    if (known !== null && !isForgotten(known)) return authorizationOf(known);
    const take = (state: 'authorized' | 'declined') => {
      const expiresAtMs = state === 'authorized' ? nowMs() + holdMs : null;
      const prefix = state === 'authorized' ? 'authorization' : null;
      return authorizationOf(add({ partner: 'payments', key, orderId, state, terms, expiresAtMs }, prefix));
    };
    switch (scenario) {
      case 'success':
        return take('authorized');
      case 'failure':
        return take('declined');
      case 'flaky':
        if (nth <= 2) throw notNow();
        return take('authorized');
      case 'timeout':
        return nth === 1 ? silence : take('authorized');
      case 'lost-answer': {
        const answer = take('authorized');
        return nth === 1 ? silence : answer;
      }
      case 'outage':
        if (epoch === 0) throw notNow();
        return take('authorized');
      case 'fatal':
        throw no('provider-refused', 'the provider refuses this order for good');
    }
  }

  function voidHold({ key, orderId }: VoidRequest): VoidAnswer {
    const known = find('payments', key, orderId, null);
    if (known === null) {
      add({ partner: 'payments', key, orderId, state: 'closed', terms: null, expiresAtMs: null }, null);
      return { outcome: 'nothing-held' };
    }
    if (known.reference === null) return { outcome: 'nothing-held' };
    if (known.state === 'authorized') move(known, 'voided');
    return { outcome: 'voided', authorizationId: known.reference };
  }

  function book({ key, orderId, country, items }: BookRequest): BookAnswer {
    const terms = { country, items: contentOf(items) };
    const known = find('carrier', key, orderId, terms);
    if (known !== null && !isForgotten(known)) return bookingOf(known);
    const state = rejects(orderId) ? 'rejected' : 'booked';
    const prefix = state === 'booked' ? 'booking' : null;
    return bookingOf(add({ partner: 'carrier', key, orderId, state, terms, expiresAtMs: null }, prefix));
  }

  function recall({ key, orderId }: RecallRequest): RecallAnswer {
    const known = find('carrier', key, orderId, null);
    if (known === null) {
      add({ partner: 'carrier', key, orderId, state: 'closed', terms: null, expiresAtMs: null }, null);
      return { outcome: 'nothing-booked' };
    }
    if (known.reference === null) return { outcome: 'nothing-booked' };
    if (known.state === 'booked') {
      if (refusesRecall(orderId)) {
        tell(known, 'recall-refused');
        return { outcome: 'refused', bookingId: known.reference, code: 'too-late' };
      }
      move(known, 'recalled');
    }
    return { outcome: 'recalled', bookingId: known.reference };
  }

  function send({ key, orderId, kind, to }: SendRequest): void {
    // Whatever the words: a message with this key has been sent.
    if (latest.has(`mail ${key}`)) return;
    add({ partner: 'mail', key, orderId, state: 'sent', terms: { kind, to }, expiresAtMs: null }, 'message');
  }

  const broughtByOrder = new Map<string, Brought[]>();
  const refused = new Set<string>();

  function index(documents: readonly OrderDocument[]): IndexAnswer[] {
    return documents.map((document) => {
      if (refusesDocument(document.id) && !refused.has(document.id)) {
        refused.add(document.id);
        return no('document-refused', 'the search does not take this document').trouble;
      }
      const brought = broughtByOrder.get(document.id) ?? [];
      const stored = brought.findLast(({ isStored }) => isStored);
      const isStored = stored === undefined || stored.document.version < document.version;
      broughtByOrder.set(document.id, [...brought, { atMs: nowMs(), document, isStored }]);
      return isStored ? 'stored' : 'older';
    });
  }

  const lookupIn =
    <A>(partner: PartnerName, toAnswer: (entry: LedgerEntry) => A) =>
    (key: string): A | null => {
      const entry = latest.get(`${partner} ${key}`);
      return entry === undefined || isForgotten(entry) ? null : toAnswer(entry);
    };

  return {
    payments: { authorize, void: voidHold, lookup: lookupIn('payments', authorizationOf) },
    carrier: { book, recall, lookup: lookupIn('carrier', bookingOf) },
    mail: { send },
    search: { index },
    broughtOf: (orderId: string): readonly Brought[] => broughtByOrder.get(orderId) ?? [],
    ledger: entries as readonly LedgerEntry[],
    entries: entries as readonly LedgerEntry[],
    entriesOf: (orderId: string): readonly LedgerEntry[] => entriesByOrder.get(orderId) ?? [],
    actsOf: (orderId: string): readonly PartnerAct[] => actsByOrder.get(orderId) ?? [],
  };
}

function authorizationOf(entry: LedgerEntry): AuthorizeAnswer {
  if (entry.state === 'declined') return { outcome: 'declined', code: 'card-declined' };
  if (entry.state !== 'authorized' || entry.reference === null) return { outcome: 'closed' };
  const expiresAt = new Date(entry.expiresAtMs ?? 0);
  return { outcome: 'authorized', authorizationId: entry.reference, expiresAt };
}

function bookingOf(entry: LedgerEntry): BookAnswer {
  if (entry.state === 'rejected') return { outcome: 'rejected', code: 'not-deliverable' };
  if (entry.state !== 'booked' || entry.reference === null) return { outcome: 'closed' };
  return { outcome: 'booked', bookingId: entry.reference };
}

// Line by line, whatever the order of the members.
export function contentOf(items: BookRequest['items']): string {
  return items.map((item) => `${item.quantity} × ${item.sku} at ${item.unitPrice}`).join('\n');
}

function equal(one: Terms, other: Terms): boolean {
  return (
    one.amount === other.amount &&
    one.currency === other.currency &&
    one.country === other.country &&
    one.items === other.items
  );
}

function notNow(): OutsideError {
  const message = 'the provider could not take the call';
  return new OutsideError({ class: 'retryable', code: 'provider-unavailable', message, dependencyDown: false });
}

function no(code: string, message: string): OutsideError {
  return new OutsideError({ class: 'non-retryable', code, message, dependencyDown: false });
}
