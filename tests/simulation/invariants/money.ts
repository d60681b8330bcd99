// Money, parcels and messages: the partners' ledgers, against the orders.

import type { OrderEvidence } from '../evidence.ts';
import { contentOf, type PartnerAct } from '../partners.ts';
import type { EffectRow } from '../rows.ts';
import { isClaim, isSettle, isTakeover, type JobMove, jobOf } from './calls.ts';
import { type Invariant, nameOfType, ofOrder } from './law.ts';

const liveOf = (acts: readonly PartnerAct[], done: PartnerAct['act'], undone: PartnerAct['act']) =>
  acts.filter(({ act }) => act === done).length - acts.filter(({ act }) => act === undone).length;
const heldOf = (acts: readonly PartnerAct[]) => liveOf(acts, 'authorized', 'voided');
const bookedOf = (acts: readonly PartnerAct[]) => liveOf(acts, 'booked', 'recalled');

export function openDeadLetters(order: OrderEvidence, consumer: string) {
  return [...order.deadLetters.values()].filter(
    (deadLetter) => deadLetter.closed_at === null && deadLetter.consumer === consumer,
  );
}

// What a message says about its order, and so the state that the order must be in, for good.
const statusTold: Readonly<Record<string, string>> = {
  processed: 'PROCESSED',
  declined: 'CANCELED',
  canceled: 'CANCELED',
};

// This commit has claimed, or settled, a job under the token.
function isOfClaim(order: OrderEvidence, sequence: number, isIt: (move: JobMove) => boolean, token: string): boolean {
  return order.jobMoves.some((move) => move.sequence === sequence && isIt(move) && move.token === token);
}

function isReprocess(order: OrderEvidence, sequence: number): boolean {
  return order.events.some(
    ({ type }, nth) => order.eventSequences[nth] === sequence && nameOfType(type) === 'OrderReprocessed',
  );
}

// Why something may still be done under a key, whatever the system thinks of it: a claim that took it and has not
// ended it itself (its worker may be frozen before the call), or a call that was not certainly without effect.
function doubtsAbout(order: OrderEvidence, { name, key }: EffectRow, sequence: number): string[] {
  const takers = order.effectMoves.filter((move) => move.after?.key === key && move.sequence < sequence);
  const open = new Set(takers.map(({ after }) => (after as EffectRow).token));
  for (const move of order.jobMoves) if (isSettle(move) && move.sequence < sequence) open.delete(move.token ?? '');
  const calls = order.calls.filter((one) => one.key === key && (one.call === 'authorize' || one.call === 'book'));
  const unclear = calls.filter(({ trouble }) => !trouble || trouble.class === 'unknown' || trouble.isInterrupted);
  return [
    ...[...open].map((token) => `the claim ${token} of its ${name} had not ended`),
    ...unclear.map(({ call, trouble }) => `a call (${call}) ended as ${trouble?.code ?? 'nobody knows what'}`),
  ];
}

export const money: readonly Invariant[] = [
  ofOrder('always', 'an order is charged at most once', (order, say, { ledger }) => {
    let authorized = 0;
    for (const { act, entry } of ledger.actsOf(order.id)) {
      if (act === 'key-misused') say(`used the key ${entry.key} for something else`);
      if (act !== 'authorized') continue;
      authorized += 1;
      const { amount, currency } = entry.terms ?? {};
      if (amount !== order.row?.amount || currency !== order.row?.currency) say(`was charged ${amount} ${currency}`);
    }
    if (authorized > 1) say(`was authorized ${authorized} times`);
  }),

  ofOrder('always', 'an order is booked at most once, and only while it is paid', (order, say, { ledger }) => {
    let held = 0;
    let bookings = 0;
    let live = 0;
    for (const { act, entry } of ledger.actsOf(order.id)) {
      if (act === 'authorized') held += 1;
      if (act === 'voided') {
        held -= 1;
        if (live > 0) say('got its money back while its shipment was booked');
      }
      if (act === 'recalled') live -= 1;
      if (act !== 'booked') continue;
      bookings += 1;
      live += 1;
      if (held === 0) say('was booked while no money was held');
      const { country, items } = entry.terms ?? {};
      if (order.row === null || country !== order.row.country || items !== contentOf(order.row.items)) {
        say('was booked with another content, or to another country');
      }
    }
    if (bookings > 1) say(`was booked ${bookings} times`);
  }),

  ofOrder('always', 'PROCESSED means authorized and booked', (order, say, { ledger }) => {
    if (order.row?.status !== 'PROCESSED') return;
    const acts = ledger.actsOf(order.id);
    if (heldOf(acts) !== 1) say(`is PROCESSED with ${heldOf(acts)} authorizations held`);
    if (bookedOf(acts) !== 1) say(`is PROCESSED with ${bookedOf(acts)} bookings`);
    if (order.row.payment !== 'authorized' || order.row.fulfillment !== 'scheduled') {
      say(`is PROCESSED and shows payment ${order.row.payment}, fulfillment ${order.row.fulfillment}`);
    }
  }),

  ofOrder('always', 'only what was canceled is undone', (order, say, { ledger }) => {
    for (const { act } of ledger.actsOf(order.id)) {
      const isUndo = act === 'voided' || act === 'recalled' || act === 'closed';
      if (isUndo && order.row?.status !== 'CANCELED') say(`had an effect ${act} while it is ${order.row?.status}`);
    }
  }),

  ofOrder('end', 'CANCELED means that nothing is held or booked', (order, say, { ledger }) => {
    if (order.row?.status !== 'CANCELED') return;
    const held = heldOf(ledger.actsOf(order.id));
    const booked = bookedOf(ledger.actsOf(order.id));
    const [deadLetter] = openDeadLetters(order, 'compensation');
    if (deadLetter?.code === 'recall-refused') {
      // It ships: the money stays until a person decides, and the order says so.
      if (held !== 1 || booked !== 1) say(`could not be recalled, and has ${held} holds and ${booked} bookings`);
      const booking = order.effects.get('booking')?.state;
      if (booking !== 'stuck') say(`could not be recalled, and its booking is ${booking}`);
      if (order.row.fulfillment !== 'scheduled') say(`ships and shows fulfillment ${order.row.fulfillment}`);
    }
    // A dead letter is a person's to solve; until then anything may be left.
    if (deadLetter !== undefined) return;
    if (held !== 0) say('is CANCELED, and its money is still held');
    if (booked !== 0) say('is CANCELED, and its shipment is still booked');
    const { payment, fulfillment } = order.row;
    if (!['none', 'declined', 'voided'].includes(payment)) say(`is CANCELED and shows payment ${payment}`);
    if (!['none', 'rejected', 'canceled'].includes(fulfillment))
      say(`is CANCELED and shows fulfillment ${fulfillment}`);
  }),

  ofOrder('end', 'what is shown of money and parcel is what the ledgers say', (order, say, { ledger }) => {
    if (order.row === null) return;
    const acts = ledger.actsOf(order.id);
    const shown = { money: order.row.payment, parcel: order.row.fulfillment };
    if (shown.money === 'authorized' && heldOf(acts) !== 1) say('shows money that is not held');
    // What a worker had done that died or froze in an undo, nobody knows who takes over from it.
    const wasTakenOver = order.jobMoves.some((move) => isTakeover(move) && jobOf(move).consumer === 'compensation');
    const wasTouched = wasTakenOver || order.calls.some(({ call }) => call === 'void');
    const isKnown = order.events.some(({ type }) => nameOfType(type) === 'PaymentAuthorized');
    if (order.row.status === 'CANCELED' && shown.money === 'unknown' && isKnown && !wasTouched) {
      say('shows its money as unknown, and nobody has touched it');
    }
    if (shown.money === 'voided' && (heldOf(acts) !== 0 || !acts.some(({ act }) => act === 'voided'))) {
      say('shows a hold as released that is none');
    }
    if (shown.money === 'none' && heldOf(acts) !== 0) say('shows no payment while money is held');
    if (shown.money === 'declined' && heldOf(acts) !== 0) say('shows a declined payment while money is held');
    if (shown.money === 'declined' && !acts.some(({ act }) => act === 'declined')) say('shows a decline of nobody');
    if (shown.parcel === 'rejected' && !acts.some(({ act }) => act === 'rejected')) say('shows a rejection of nobody');
    if (shown.parcel === 'scheduled' && bookedOf(acts) !== 1) say('shows a shipment that is not booked');
    if (shown.parcel === 'none' && bookedOf(acts) !== 0) say('shows no shipment while one is booked');
    if (shown.parcel === 'canceled' && bookedOf(acts) !== 0) say('shows a shipment as recalled that is booked');
  }),

  ofOrder('history', 'a call is made under a key whose intent is committed', (order, say, evidence) => {
    const { epochMs, keyWindowMs, skewMs } = evidence.settings;
    for (const { call, key, effect, atMs, dependency } of order.calls) {
      if (dependency === 'mail' || call === 'lookup') continue;
      if (effect === null) say(`was sent to ${dependency} (${call}) under ${key} without an intent of that key`);
      else if (call === 'authorize' || call === 'book') {
        // A process reads its clock in whole milliseconds, so the last of the window lasts until the next one.
        const ageMs = Math.floor(epochMs + atMs) - effect.first_used_at.getTime();
        if (effect.state === 'unknown' && ageMs > keyWindowMs + skewMs)
          say(`sent ${key} again when it may be forgotten`);
      }
    }
  }),

  ofOrder('history', 'a new key is taken only when nothing was done under the old one', (order, say) => {
    for (const { before, after, sequence } of order.effectMoves) {
      if (after === null) continue;
      if (before === null) {
        if (after.generation !== 0) say(`begins ${after.name} with generation ${after.generation}`);
      } else if (after.generation !== before.generation) {
        const isFine =
          after.generation === before.generation + 1 && before.state === 'none' && isReprocess(order, sequence);
        if (!isFine)
          say(`got generation ${after.generation} of ${after.name} while ${before.state} under ${before.key}`);
        for (const doubt of doubtsAbout(order, before, sequence)) say(`left the key ${before.key}, and ${doubt}`);
      }
      if (before?.token !== after.token) {
        if (!isOfClaim(order, sequence, isClaim, after.token)) {
          say(`had its ${after.name} taken without a claim`);
        }
      } else if (before.generation === after.generation && !isOfClaim(order, sequence, isSettle, after.token)) {
        say(`had its ${after.name} written by a claim that did not hold it`);
      }
    }
  }),

  ofOrder('always', 'a customer is told a thing once, and only what is true', (order, say, { ledger }) => {
    const kinds = new Set<string>();
    for (const { act, entry } of ledger.actsOf(order.id)) {
      if (act !== 'sent') continue;
      const kind = entry.terms?.kind ?? '';
      if (kinds.has(kind)) say(`had the message ${kind} twice`);
      kinds.add(kind);
      const status = statusTold[kind];
      if (status !== undefined && order.row?.status !== status) say(`was told ${kind} while ${order.row?.status}`);
      if (kind === 'failed' && !order.events.some((event) => event.type.startsWith('OrderFailed'))) {
        say('was told failed, and never was');
      }
      const isDeclined = order.row?.reason_code === 'payment-declined';
      if ((kind === 'declined' && !isDeclined) || (kind === 'canceled' && isDeclined)) {
        say(`was told ${kind} because of ${order.row?.reason_code}`);
      }
      if (entry.terms?.to !== (order.row?.customer_email ?? order.row?.user_id)) say('had its message sent elsewhere');
    }
  }),

  ofOrder('history', 'a customer is told of a failure only while it stands', (order, say) => {
    const failures = order.events
      .filter(({ type }) => nameOfType(type) === 'OrderFailed')
      .map(({ version }) => version);
    for (const { call, key, process, atMs } of order.calls) {
      if (call !== 'send' || !key.endsWith(':failed')) continue;
      const isOfFailed = order.jobMoves.some(
        (move) =>
          isClaim(move) &&
          move.process === process &&
          move.atMs <= atMs &&
          jobOf(move).consumer === 'notification' &&
          failures.includes(jobOf(move).version) &&
          order.moves.findLast(({ sequence }) => sequence <= move.sequence)?.after?.status === 'FAILED',
      );
      if (!isOfFailed) say('was told of a failure that was over when the work began');
    }
  }),

  ofOrder('end', 'a customer knows how the order ended', (order, say, { ledger }) => {
    if (order.row === null || openDeadLetters(order, 'notification').length > 0) return;
    const told = new Set(ledger.entriesOf(order.id).map(({ terms }) => terms?.kind));
    const isDeclined = order.row.reason_code === 'payment-declined';
    if (order.row.status === 'PROCESSED' && !told.has('processed')) say('is PROCESSED, and nobody was told');
    if (order.row.status === 'CANCELED' && !told.has(isDeclined ? 'declined' : 'canceled')) {
      say('is CANCELED, and nobody was told why');
    }
  }),
];
