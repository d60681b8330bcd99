// The step of the consumer `compensation`: undoes what a canceled order has left outside.
//
// Promises: first the shipment, then, only when it certainly will not ship, the money. Every effect whose
// intent exists is claimed by its key at the partner: what was done is undone, what was not done can
// never be done any more. If the carrier refuses, the money stays and a person decides; if the provider does, too.
// The claim takes the effects' tokens, so a late worker of the do cannot write over the outcome.
// Process dies anywhere: both undos are idempotent by key and run again.

import type { Effect, EffectName } from '../../domain/effects.ts';
import type { EventDraft } from '../../domain/events.ts';
import type { Order, OrderId } from '../../domain/order.ts';
import type { OrderChange, OrderRecord } from '../../domain/order-record.ts';
import { OutsideError, type System, type Trouble, type Work } from '../../engine/ports.ts';
import type { OrderStep, Partners, RecallAnswer, Undo, VoidAnswer } from '../ports.ts';
import { authorizeRequest, bookRequest, changeBy, ownEffect, withSummary } from './core-step.ts';

type Undone = { readonly recall: RecallAnswer | null; readonly voiding: VoidAnswer | null };

// `none` and `declined` are certain; `stuck` is tried again when a person sends the dead letter back.
function isOwed(effect: Effect | undefined): effect is Effect {
  return effect !== undefined && ['intent', 'unknown', 'done', 'stuck'].includes(effect.state);
}

function undoOf<Q extends { readonly key: string; readonly orderId: OrderId }>(
  request: Q,
  mayHaveForgotten: boolean,
): Undo<Q> {
  return { key: request.key, orderId: request.orderId, of: { request, mayHaveForgotten } };
}

export function undoEffects(partners: Pick<Partners, 'payments' | 'carrier'>, system: Pick<System, 'now'>): OrderStep {
  const { payments, carrier } = partners;
  const isOlder = ({ firstUsedAt }: Effect, windowMs: number) =>
    system.now().getTime() - firstUsedAt.getTime() > windowMs;
  return {
    admits: ({ order, effects }) =>
      order.status === 'CANCELED' && (isOwed(effects.booking) || isOwed(effects.authorization)),
    claimed: ({ order, effects }, _event, _now, takenOver) => {
      const owed = [effects.booking, effects.authorization].filter(isOwed);
      return { order, events: [], effects: takenOver ? owed.map(inDoubt) : owed };
    },
    perform: async (work, signal): Promise<Undone> => {
      const { booking, authorization } = work.subject.effects;
      let recall: RecallAnswer | null = null;
      if (isOwed(booking)) {
        const request = bookRequest(work.subject, booking);
        recall = await carrier.recall(undoOf(request, isOlder(booking, carrier.keyWindowMs)), signal);
        if (recall.outcome === 'refused') throw tooLate(recall);
      }
      if (!isOwed(authorization)) return { recall, voiding: null };
      const request = authorizeRequest(work.subject, authorization, work.epoch);
      const voiding = await payments.void(undoOf(request, isOlder(authorization, payments.keyWindowMs)), signal);
      if (voiding.outcome === 'refused') throw stillHeld(voiding);
      return { recall, voiding };
    },
    decide: (record, work, result, now) => decide(record, work, result as Undone, now),
    retried,
    parked,
  };
}

// What may have been undone although no answer came is remembered: a later attempt may fail before it asks.
function retried(record: OrderRecord, work: Work, trouble: Trouble): OrderChange | null {
  if (trouble.class !== 'unknown') return null;
  const asked = inDoubtAfter(trouble);
  const effects = ownAndOwed(record, work).filter(({ name, state }) => asked.includes(name) && state !== 'unknown');
  if (effects.length === 0) return null;
  return { order: record.order, events: [], effects: effects.map(inDoubt) };
}

function ownAndOwed(record: OrderRecord, work: Work): Effect[] {
  const own = [ownEffect(record, 'booking', work), ownEffect(record, 'authorization', work)];
  return own.filter((effect) => effect !== null).filter(isOwed);
}

const inDoubt = (effect: Effect): Effect => ({ ...effect, state: 'unknown' });
const stuck = (effect: Effect): Effect => ({ ...effect, state: 'stuck' });

// A person must look: until then the order shows `unknown` for what may have been undone although no answer
// came, in this attempt or before it, and what is certain for the rest. A doubt of an earlier call outlives every
// failure: also a definite no says only that its own call has done nothing.
function parked(record: OrderRecord, work: Work, trouble: Trouble): OrderChange | null {
  if (trouble.code === recallRefused) {
    const booking = ownEffect(record, 'booking', work);
    if (booking === null) return null;
    // It ships: the customer and the operator should see that, whatever we knew before.
    const order: Order = { ...record.order, fulfillment: 'scheduled' };
    return { order, events: [], effects: [stuck(booking)] };
  }
  const asked = inDoubtAfter(trouble);
  const isHeld = ({ name }: Effect) => trouble.code === voidRefused && name === 'authorization';
  const owed = ownAndOwed(record, work);
  const held = owed.filter(isHeld);
  const doubtful = owed.filter(
    (effect) => !isHeld(effect) && (asked.includes(effect.name) || effect.state === 'unknown'),
  );
  if (held.length + doubtful.length === 0) return null;
  const certain: Order = held.length > 0 ? { ...record.order, payment: 'authorized' } : record.order;
  const order = doubtful.reduce((shown, { name }) => withSummary(shown, name, 'unknown'), certain);
  return { order, events: [], effects: [...held.map(stuck), ...doubtful.map(inDoubt)] };
}

// The recall comes first: the carrier's word leaves the money alone, the provider's comes after a recall that
// nobody has written down. Without anybody's word (the workers died of it) both are open; where nobody was asked,
// because it had waited for too long already, nothing is that was not before.
function inDoubtAfter(trouble: Trouble): EffectName[] {
  if (trouble.class === 'retryable' && trouble.dependency === undefined) return [];
  const spoken = spokenOf(trouble);
  if (trouble.dependency === 'carrier') return spoken === null ? ['booking'] : [];
  return spoken === null ? ['booking', 'authorization'] : ['booking'];
}

// The effect of which a partner's definite no says that this call has left it as it was.
function spokenOf({ class: failureClass, dependency }: Trouble): EffectName | null {
  if (failureClass !== 'non-retryable') return null;
  return dependency === 'carrier' ? 'booking' : dependency === 'payments' ? 'authorization' : null;
}

const recallRefused = 'recall-refused';
const voidRefused = 'void-refused';

function tooLate(answer: RecallAnswer & { outcome: 'refused' }): OutsideError {
  return new OutsideError({
    class: 'non-retryable',
    code: recallRefused,
    message: `the carrier does not take back ${answer.bookingId} (${answer.code}); the money stays until you decide`,
    dependencyDown: false,
  });
}

function stillHeld(answer: VoidAnswer & { outcome: 'refused' }): OutsideError {
  return new OutsideError({
    class: 'non-retryable',
    code: voidRefused,
    message: `the provider does not void ${answer.authorizationId} (${answer.code}); the money is held until you decide`,
    dependencyDown: false,
  });
}

function decide(record: OrderRecord, work: Work, { recall, voiding }: Undone, now: Date) {
  const booking = ownEffect(record, 'booking', work);
  const authorization = ownEffect(record, 'authorization', work);
  const drafts: EventDraft[] = [];
  const effects: Omit<Effect, 'token'>[] = [];
  let order = record.order;

  if (booking !== null && recall !== null) {
    effects.push({ ...booking, state: 'undone' });
    if (recall.outcome === 'recalled') {
      drafts.push({ type: 'FulfillmentCanceledV1', data: { bookingId: recall.bookingId } });
    } else {
      order = { ...order, fulfillment: 'none' };
    }
  }
  if (authorization !== null && voiding !== null) {
    effects.push({ ...authorization, state: 'undone' });
    if (voiding.outcome === 'voided') {
      const { amount, currency } = order;
      drafts.push({ type: 'PaymentVoidedV1', data: { amount, currency, authorizationId: voiding.authorizationId } });
    } else {
      order = { ...order, payment: 'none' };
    }
  }
  return changeBy({ ...record, order }, drafts, effects, now);
}
