// What can be seen of one order in one snapshot of the database, judged: the promises of
// promises.ts that need no partner.
//
// Promises: an order in the middle of its work is no finding. Everything an attempt ends with is written
// in one transaction, so the rows of one snapshot agree at any moment; what is only owed is looked at by
// its age. Relies on the events to come in the order of their versions.

import type { EffectName } from '../../domain/effects.ts';
import { keyOfEffect } from '../../domain/effects.ts';
import { isUnderWay } from '../../domain/order-machine.ts';
import { coreConsumers } from '../subscriptions.ts';
import { type Finding, overdueMs, type PromiseName } from './promises.ts';
import type { SeenOrder } from './seen-order.ts';
import { createStories } from './story.ts';

export type OrderJudge = {
  readonly judge: (order: SeenOrder) => readonly Finding[];
  // Whether a canceled order has nothing more to expect from `compensation`, by a job or by a person.
  readonly isUndone: (order: SeenOrder) => boolean;
};

export function createOrderJudge({ maxRetries }: { readonly maxRetries: number }): OrderJudge {
  const endingOf = createStories();

  return { judge, isUndone };

  function judge(order: SeenOrder): readonly Finding[] {
    const findings: Finding[] = [];
    const find = (promise: PromiseName, what: string) => void findings.push({ promise, subject: order.id, what });
    judgeEvents(order, find);
    judgeMoney(order, find);
    judgeStory(order, find);
    judgeJobs(order, find);
    judgeDeadLetters(order, find);
    judgeEffects(order, find);
    judgeEnd(order, find);
    judgeAttempts(order, find);
    return findings;
  }

  // A dead letter of `compensation` that is open waits for a person; one that was discarded was a person's decision.
  function isUndone({ status, events, deadLetters }: SeenOrder): boolean {
    if (status !== 'CANCELED') return false;
    const isOwed = events.some(({ jobs }) => jobs.some(({ consumer }) => consumer === 'compensation'));
    const isOfPerson = deadLetters.some(
      ({ consumer, closedHow }) => consumer === 'compensation' && (closedHow === null || closedHow === 'discarded'),
    );
    return !isOwed && !isOfPerson;
  }

  function judgeStory(order: SeenOrder, find: Find): void {
    const ending = endingOf(order.events);
    if ('mistake' in ending) return find('story', ending.mistake);
    const { status, payment, fulfillment } = order;
    if (status !== ending.status && !(status === 'PROCESSING' && ending.status === 'PENDING')) {
      find('story', `it is ${status}, but its events lead to ${ending.status}`);
    }
    // What a partner refuses to undo is there, whatever was known before.
    const isHeld = order.effects.authorization?.state === 'stuck' && payment === 'authorized';
    if (payment !== ending.payment && !isHeld && !isBetweenEvents(payment, ending.payment, order)) {
      find('story', `its payment is ${payment}, but its events lead to ${ending.payment}`);
    }
    const isStuck = order.effects.booking?.state === 'stuck' && fulfillment === 'scheduled';
    if (fulfillment !== ending.fulfillment && !isStuck && !isBetweenEvents(fulfillment, ending.fulfillment, order)) {
      find('story', `its fulfillment is ${fulfillment}, but its events lead to ${ending.fulfillment}`);
    }
  }

  function judgeJobs({ events }: SeenOrder, find: Find): void {
    for (const { type, version, jobs } of events) {
      for (const { consumer, isClaimed, dueForMs } of jobs) {
        if (dueForMs < overdueMs) continue;
        const since = isClaimed
          ? `its lease ended ${minutes(dueForMs)} ago`
          : `it has been due for ${minutes(dueForMs)}`;
        find('late work', `${consumer} of ${type} (version ${version}): ${since}`);
      }
    }
  }

  function judgeDeadLetters(order: SeenOrder, find: Find): void {
    const open = order.deadLetters.filter(({ closedHow }) => closedHow === null);
    const core = open.filter(({ consumer }) => coreConsumers.includes(consumer));
    if (order.status === 'FAILED' && core.length === 0)
      find('dead letters', 'it is FAILED without an open dead letter of a core step');
    if (order.status !== 'FAILED' && core.length > 0) {
      find('dead letters', `it is ${order.status}, and ${core[0]?.consumer} has an open dead letter`);
    }
    for (const { consumer, version } of open) {
      const event = order.events.find((one) => one.version === version);
      if (event === undefined)
        find('dead letters', `${consumer} has an open dead letter of version ${version}, which is not there`);
      else if (event.jobs.some((job) => job.consumer === consumer)) {
        find(
          'dead letters',
          `${consumer} has both a job and an open dead letter of ${event.type} (version ${version})`,
        );
      }
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
    for (const [name, { state, generation }] of Object.entries(order.effects)) {
      const key = keyOfEffect(order.id, { name: name as EffectName, generation });
      if (owedUndo.includes(state))
        find('canceled', `its undoing is owed by nobody, and its ${name} ${key} is ${state}`);
    }
  }

  function judgeAttempts(order: SeenOrder, find: Find): void {
    const retriesMax = maxRetries * coreConsumers.length;
    if (order.retryCount > retriesMax) find('attempts', `it was charged ${order.retryCount} retries of ${retriesMax}`);
    for (const { type, jobs } of order.events) {
      for (const { consumer, attempt } of jobs) {
        if (attempt <= maxRetries + 1) continue;
        find('attempts', `${consumer} of ${type} has had ${attempt} attempts of ${maxRetries + 1}`);
      }
    }
  }
}

// Also a job that nobody has claimed yet: it will be.
const hasWork = ({ events }: SeenOrder) =>
  events.some(({ jobs }) => jobs.some(({ consumer }) => coreConsumers.includes(consumer)));

type Find = (promise: PromiseName, what: string) => void;

function judgeEvents({ events, version }: SeenOrder, find: Find): void {
  const isWhole = events.length === version && events.every((event, index) => event.version === index + 1);
  if (!isWhole)
    find(
      'events',
      `it is at version ${version}, its events are ${events.map((event) => event.version).join(', ') || 'none'}`,
    );
}

function judgeMoney({ events, amount, currency }: SeenOrder, find: Find): void {
  const wrong = events.find(({ money }) => money !== null && money !== `${amount} ${currency}`);
  if (wrong === undefined) return;
  find(
    'story',
    `it is of ${amount} ${currency}, but its ${wrong.type} (version ${wrong.version}) is of ${wrong.money}`,
  );
}

// What an order says of its payment and fulfillment while no event tells of it yet. Whatever was there before,
// an undo that finds nothing to undo says `none`, and one that gave up in doubt says `unknown`.
function isBetweenEvents(said: string, told: string, { status }: SeenOrder): boolean {
  if (told === 'none') return said === 'pending' || said === 'unknown';
  return status === 'CANCELED' && (said === 'none' || said === 'unknown');
}

function judgeEffects(order: SeenOrder, find: Find): void {
  const reprocessed = order.events.filter(({ type }) => type.startsWith('OrderReprocessed')).length;
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
