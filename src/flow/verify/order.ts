// What can be seen of one order in one snapshot of the database, judged: the promises of
// verify-promises.ts that need no partner.
//
// Promises: an order in the middle of its work is no finding. Everything an attempt ends with is written
// in one transaction, so the rows of one snapshot agree at any moment; what is only owed is looked at by
// its age. Rows that the retention removes are missed by nobody.
// Relies on the facts to come in the order of their versions, and on orders to come oldest first.

import { keyOfEffect } from '../../domain/effects.ts';
import { isUnderWay } from '../../domain/order-machine.ts';
import { coreConsumers, projections } from '../subscriptions.ts';
import { type Finding, overdueMs, type PromiseName } from './promises.ts';
import type { SeenFact, SeenOrder } from './seen-order.ts';
import { createStories } from './story.ts';

export type Mark = {
  readonly consumer: string;
  readonly type: string;
  readonly start: 'beginning' | 'now';
  readonly xid: number;
};

export type OrderJudge = {
  readonly judge: (order: SeenOrder) => readonly Finding[];
  // Whether a canceled order has nothing more to expect from `compensation`; a dead delivery is in the
  // hands of a person.
  readonly isUndone: (order: SeenOrder) => boolean;
};

export function createOrderJudge(options: {
  readonly marks: readonly Mark[];
  readonly maxRetries: number;
  // Ended deliveries and closed letters that are older may be gone.
  readonly retentionMs: number;
}): OrderJudge {
  const { marks, maxRetries, retentionMs } = options;
  const endingOf = createStories();
  // Where a consumer that started with the facts to come has begun, as far as has been seen.
  const begun = new Map<string, number>();

  return { judge, isUndone };

  function judge(order: SeenOrder): readonly Finding[] {
    const findings: Finding[] = [];
    const find = (promise: PromiseName, what: string) => void findings.push({ promise, subject: order.id, what });
    judgeFacts(order, find);
    judgeMoney(order, find);
    judgeStory(order, find);
    judgeDeliveries(order, find);
    judgeLetters(order, find);
    judgeEffects(order, find);
    judgeEnd(order, find);
    judgeAttempts(order, find);
    for (const what of order.revived) find('endings', what);
    return findings;
  }

  function isUndone(order: SeenOrder): boolean {
    const cancel = order.facts.find(({ type }) => type.startsWith('OrderCanceled'));
    if (order.status !== 'CANCELED' || cancel === undefined) return false;
    const undo = cancel.deliveries.find(({ consumer }) => consumer === 'compensation');
    if (undo !== undefined) return undo.state === 'done' || undo.state === 'skipped';
    // The retention removes a delivery only after its end.
    const mark = marks.find(({ consumer, type }) => consumer === 'compensation' && type === cancel.type);
    return mark !== undefined && cancel.xid <= mark.xid && cancel.ageMs > retentionMs;
  }

  function judgeStory(order: SeenOrder, find: Find): void {
    const ending = endingOf(order.facts);
    if ('mistake' in ending) return find('story', ending.mistake);
    const { status, payment, fulfillment } = order;
    if (status !== ending.status && !(status === 'PROCESSING' && ending.status === 'PENDING')) {
      find('story', `it is ${status}, but its facts lead to ${ending.status}`);
    }
    // What a partner refuses to undo is there, whatever was known before.
    const isHeld = order.effects.authorization?.state === 'stuck' && payment === 'authorized';
    if (payment !== ending.payment && !isHeld && !isBetweenFacts(payment, ending.payment, order)) {
      find('story', `its payment is ${payment}, but its facts lead to ${ending.payment}`);
    }
    const isStuck = order.effects.booking?.state === 'stuck' && fulfillment === 'scheduled';
    if (fulfillment !== ending.fulfillment && !isStuck && !isBetweenFacts(fulfillment, ending.fulfillment, order)) {
      find('story', `its fulfillment is ${fulfillment}, but its facts lead to ${ending.fulfillment}`);
    }
  }

  function judgeDeliveries(order: SeenOrder, find: Find): void {
    for (const fact of order.facts) {
      for (const delivery of fact.deliveries) {
        const named = `${delivery.consumer} of ${fact.type} (version ${fact.version})`;
        if (!delivery.isOfOrder) find('owners', `the delivery to ${named} names another order`);
        const key = `${delivery.consumer} ${fact.type}`;
        begun.set(key, Math.min(begun.get(key) ?? fact.xid, fact.xid));
        if (delivery.dueForMs === null || delivery.dueForMs < overdueMs) continue;
        const since = delivery.state === 'running' ? 'its lease ended' : 'it has been due for';
        find(
          'late work',
          `${named}: ${since} ${minutes(delivery.dueForMs)}${delivery.state === 'running' ? ' ago' : ''}`,
        );
      }
      for (const mark of marks) {
        if (mark.type !== fact.type || fact.deliveries.some(({ consumer }) => consumer === mark.consumer)) continue;
        judgeMissing(fact, mark, find);
      }
    }
  }

  function judgeMissing(fact: SeenFact, mark: Mark, find: Find): void {
    const named = `${fact.type} (version ${fact.version}, written ${minutes(fact.ageMs)} ago)`;
    if (fact.xid > mark.xid) {
      if (fact.ageMs > overdueMs) find('late deliveries', `${mark.consumer} has not been given ${named}`);
      return;
    }
    if (fact.ageMs > retentionMs) return;
    // One that was written before the consumer was there is not owed to it.
    const isBefore = fact.xid < (begun.get(`${mark.consumer} ${mark.type}`) ?? Infinity);
    if (mark.start === 'now' && isBefore) return;
    find('deliveries', `${mark.consumer} has passed ${named} without a delivery`);
  }

  function judgeLetters(order: SeenOrder, find: Find): void {
    const open = order.letters.filter(({ closedHow }) => closedHow === null);
    const core = open.filter(({ consumer }) => coreConsumers.includes(consumer));
    if (order.status === 'FAILED' && core.length === 0)
      find('letters', 'it is FAILED without an open letter of a core step');
    if (order.status !== 'FAILED' && core.length > 0) {
      find('letters', `it is ${order.status}, and ${core[0]?.consumer} has an open letter`);
    }
    for (const fact of order.facts) {
      for (const { consumer, state } of fact.deliveries) {
        const of = order.letters.filter((letter) => letter.deliveryId === fact.id && letter.consumer === consumer);
        const says = of.some(({ closedHow }) => closedHow !== 'reprocessed');
        if (state !== 'dead' && says)
          find('letters', `${consumer} has a letter of ${fact.type}, whose delivery is ${state}`);
        if (state === 'dead' && !says && fact.ageMs < retentionMs) {
          find('letters', `the delivery of ${fact.type} to ${consumer} is dead without a letter`);
        }
      }
    }
    // An event that a projection gave up has no delivery, but a place that its cursor has passed.
    for (const letter of open.filter(({ consumer }) => !projected.includes(consumer))) {
      const isThere = order.facts.some(
        ({ id, deliveries }) =>
          id === letter.deliveryId && deliveries.some(({ consumer }) => consumer === letter.consumer),
      );
      if (!isThere) find('letters', `${letter.consumer} has an open letter of a delivery that is not there`);
    }
  }

  function judgeEnd(order: SeenOrder, find: Find): void {
    if (isUnderWay(order.status) && !hasWork(order)) {
      find('work', `it is ${order.status}, and no core step has anything to do for it`);
    }
    if (order.status === 'PROCESSED') {
      for (const name of ['authorization', 'booking'] as const) {
        const state = order.effects[name]?.state ?? 'missing';
        if (state !== 'done') find('processed', `it is PROCESSED, and its ${name} is ${state}`);
      }
    }
    if (!isUndone(order)) return;
    for (const name of ['authorization', 'booking'] as const) {
      const effect = order.effects[name];
      if (effect === undefined || !owedUndo.includes(effect.state)) continue;
      const key = keyOfEffect(order.id, { name, generation: effect.generation });
      find('canceled', `it was undone, and its ${name} ${key} is still ${effect.state}`);
    }
  }

  // Also a fact that no core step was given yet: it will be.
  function hasWork(order: SeenOrder): boolean {
    return order.facts.some(({ type, deliveries }) =>
      marks.some(({ consumer, type: wanted }) => {
        if (wanted !== type || !coreConsumers.includes(consumer)) return false;
        const delivery = deliveries.find((one) => one.consumer === consumer);
        return delivery === undefined || delivery.dueForMs !== null;
      }),
    );
  }

  function judgeAttempts(order: SeenOrder, find: Find): void {
    const retriesMax = maxRetries * coreConsumers.length;
    if (order.retryCount > retriesMax) find('attempts', `it was charged ${order.retryCount} retries of ${retriesMax}`);
    for (const { type, deliveries } of order.facts) {
      for (const { consumer, attempt } of deliveries) {
        if (attempt <= maxRetries + 1) continue;
        find('attempts', `${consumer} of ${type} has had ${attempt} attempts of ${maxRetries + 1}`);
      }
    }
  }
}

const projected: readonly string[] = projections.map(({ consumer }) => consumer);

type Find = (promise: PromiseName, what: string) => void;

function judgeFacts({ facts, version }: SeenOrder, find: Find): void {
  const isWhole = facts.length === version && facts.every((fact, index) => fact.version === index + 1);
  if (!isWhole)
    find(
      'facts',
      `it is at version ${version}, its facts are ${facts.map((fact) => fact.version).join(', ') || 'none'}`,
    );
}

function judgeMoney({ facts, amount, currency }: SeenOrder, find: Find): void {
  const wrong = facts.find(({ money }) => money !== null && money !== `${amount} ${currency}`);
  if (wrong === undefined) return;
  find(
    'story',
    `it is of ${amount} ${currency}, but its ${wrong.type} (version ${wrong.version}) is of ${wrong.money}`,
  );
}

// What an order says of its payment and fulfillment while no fact tells of it yet. Whatever was there before,
// an undo that finds nothing to undo says `none`, and one that gave up in doubt says `unknown`.
function isBetweenFacts(said: string, told: string, { status }: SeenOrder): boolean {
  if (told === 'none') return said === 'pending' || said === 'unknown';
  return status === 'CANCELED' && (said === 'none' || said === 'unknown');
}

function judgeEffects(order: SeenOrder, find: Find): void {
  const reprocessed = order.facts.filter(({ type }) => type.startsWith('OrderReprocessed')).length;
  for (const name of ['authorization', 'booking'] as const) {
    const effect = order.effects[name];
    if (effect === undefined) continue;
    if (effect.generation > reprocessed) {
      find('effects', `its ${name} is of generation ${effect.generation}, and it was reprocessed ${reprocessed} times`);
    }
  }
  if (order.status === 'CANCELED') return;
  const said = { authorization: order.payment === 'authorized', booking: order.fulfillment === 'scheduled' };
  for (const name of ['authorization', 'booking'] as const) {
    const state = order.effects[name]?.state ?? 'missing';
    if (said[name] === (state === 'done')) continue;
    const words = name === 'authorization' ? `payment is ${order.payment}` : `fulfillment is ${order.fulfillment}`;
    find('effects', `its ${words}, and its ${name} is ${state}`);
  }
}

const owedUndo: readonly string[] = ['intent', 'unknown', 'done', 'stuck'];

const minutes = (ms: number) => `${Math.round(ms / 60_000)} minutes`;
