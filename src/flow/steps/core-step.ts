// What the two core steps share: an effect with its intent, the call under its key, and what a retry or a dead letter
// of a core step means for the order.
//
// Promises: the key of an effect is the same over retries and takeovers. An effect that may exist stays `unknown` until a partner's
// definite answer under the same key: a later failure without effect does not make it certain. So `none` says
// that every call that may have been made under the key has certainly ended without effect.

import { type Effect, type EffectName, type EffectState, keyOfEffect } from '../../domain/effects.ts';
import type { EventDraft } from '../../domain/events.ts';
import type { Order, Reason } from '../../domain/order.ts';
import { isUnderWay, record as recordEvents, takeUp } from '../../domain/order-machine.ts';
import type { OrderChange, OrderRecord } from '../../domain/order-record.ts';
import { isRefusal } from '../../domain/refusals.ts';
import { OutsideError, type Trouble, type Work } from '../../engine/ports.ts';
import type { AuthorizeRequest, BookRequest, Spent } from '../ports.ts';

type Unowned = Omit<Effect, 'token'>;

// The intent, written with the claim and so before the call.
export function intend(record: OrderRecord, name: EffectName, now: Date): OrderChange {
  const { order } = record;
  const before = record.effects[name];
  const effect: Unowned = before
    ? // A claim that finds an intent follows a worker that died or froze: its call may be on the way.
      { ...before, state: before.state === 'none' ? 'intent' : 'unknown' }
    : { name, generation: 0, state: 'intent', firstUsedAt: now, reference: null, expiresAt: null };
  return { order: takeUp(withSummary(order, name, 'pending'), now), events: [], effects: [effect] };
}

export function withSummary(order: Order, name: EffectName, state: 'pending' | 'none' | 'unknown'): Order {
  const field = name === 'authorization' ? 'payment' : 'fulfillment';
  return { ...order, [field]: state };
}

// The effect, if this claim may still write it: an undo takes it away. Nobody else can write between this look and
// the end of the transaction, for the record is read under its lock.
export function ownEffect(record: OrderRecord, name: EffectName, work: Work): Effect | null {
  const effect = record.effects[name];
  return effect !== undefined && effect.token === work.token ? effect : null;
}

// Events and the effect's outcome as one change. A refusal here is a hole in the table of the machine.
export function changeBy(
  record: OrderRecord,
  drafts: readonly EventDraft[],
  effects: readonly Unowned[],
  now: Date,
  reason?: Reason,
): OrderChange {
  const recorded = recordEvents(record.order, drafts, now, reason);
  if (isRefusal(recorded)) {
    const types = drafts.map(({ type }) => type).join(', ');
    throw new Error(`${types} at ${record.order.status}: ${recorded.refused}`);
  }
  return { order: recorded.order, events: recorded.events, effects };
}

// What goes out for an order under a key: the same for the do, its repetition and its undo.
export function authorizeRequest({ order }: OrderRecord, effect: Effect, epoch: number): AuthorizeRequest {
  const { id, amount, currency, paymentScenario } = order;
  return { key: keyOfEffect(id, effect), orderId: id, amount, currency, scenario: paymentScenario, epoch };
}

export function bookRequest({ order }: OrderRecord, effect: Effect): BookRequest {
  const { id, country, items } = order;
  return { key: keyOfEffect(id, effect), orderId: id, country, items };
}

// The call of a core step, under the key of its effect. Past the time for which the partner keeps keys, a doubtful key
// is looked up and never sent again: sending it could act twice, and that nothing is found proves nothing.
export async function callUnderKey<A>(call: {
  readonly effect: Effect;
  readonly now: Date;
  readonly keyWindowMs: number;
  readonly send: () => Promise<A | Spent>;
  readonly lookup: () => Promise<A | null>;
  // What may have been done, for the person who has to ask the partner.
  readonly doubt: string;
}): Promise<A> {
  const { effect, now, keyWindowMs, send, lookup, doubt } = call;
  if (effect.state === 'unknown' && now.getTime() - effect.firstUsedAt.getTime() > keyWindowMs) {
    const found = await lookup();
    return found ?? giveUp('outcome-unresolved', `${doubt} and cannot tell any more; ask it before you go on`);
  }
  const answer = await send();
  return isSpent(answer) ? lookUpSpent(answer, lookup) : answer;
}

const isSpent = (answer: unknown): answer is Spent => (answer as Spent).outcome === 'spent';

// What became of a spent key. Nothing at the partner: a person sends the order back, which takes a new key. While the
// partner does not say, the call that failed may have done it.
async function lookUpSpent<A>({ code }: Spent, lookup: () => Promise<A | null>): Promise<A> {
  const found = await lookup().catch((error: unknown) => {
    if (!(error instanceof OutsideError)) throw error;
    throw new OutsideError({ ...error.trouble, class: 'unknown' }, { cause: error });
  });
  if (found !== null) return found;
  throw new OutsideError({
    class: 'non-retryable',
    code: 'key-spent',
    message: `the partner failed (${code}), did nothing, and repeats that for this key; send it back to use a new one`,
    dependencyDown: false,
    leavesNothing: true,
  });
}

// A person must see to it: no further call would help.
export function giveUp(code: string, message: string): never {
  throw new OutsideError({ class: 'non-retryable', code, message, dependencyDown: false });
}

// The effect whose intent the claim has written.
export function effectOf({ subject }: Work, name: EffectName): Effect {
  const effect = subject.effects[name];
  if (effect === undefined) throw new Error(`the call for an ${name} is made without its intent`);
  return effect;
}

function afterFailure(effect: Effect, trouble: Trouble): EffectState {
  if (trouble.leavesNothing === true) return 'none';
  return effect.state === 'unknown' || trouble.class === 'unknown' ? 'unknown' : 'none';
}

export function retriedCore(name: EffectName) {
  return (record: OrderRecord, work: Work, trouble: Trouble, charged: boolean): OrderChange | 'obsolete' => {
    const effect = ownEffect(record, name, work);
    // The order was canceled meanwhile: the undo owns what the call may have left behind.
    if (!isUnderWay(record.order.status) || effect === null) return 'obsolete';
    const order = charged ? { ...record.order, retryCount: record.order.retryCount + 1 } : record.order;
    return { order, events: [], effects: [{ ...effect, state: afterFailure(effect, trouble) }] };
  };
}

export function parkedCore(name: EffectName) {
  return (record: OrderRecord, work: Work, trouble: Trouble, now: Date): OrderChange | 'obsolete' => {
    if (!isUnderWay(record.order.status)) return 'obsolete';
    const effect = ownEffect(record, name, work);
    const state = effect === null ? 'none' : afterFailure(effect, trouble);
    const summary = withSummary(record.order, name, state === 'unknown' ? 'unknown' : 'none');
    const drafts: EventDraft[] = [{ type: 'OrderFailedV1', data: { reason: trouble.code, consumer: work.consumer } }];
    const reason = { code: trouble.code, message: trouble.message };
    return changeBy({ ...record, order: summary }, drafts, effect ? [{ ...effect, state }] : [], now, reason);
  };
}
