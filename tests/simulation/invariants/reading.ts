// What is read: an answer about an order, its timeline, and what the search was given. Each tells what is so, and at
// the end each order has its document.

import type { Look, OrderEvidence } from '../evidence.ts';
import type { Brought } from '../partners.ts';
import { type Invariant, nameOfType, ofAll, ofOrder } from './law.ts';

const storedOf = (brought: readonly Brought[]) => brought.filter(({ isStored }) => isStored);

// The states that the row had between a question and its answer; what is read is committed, and not older.
function statesDuring({ moves }: OrderEvidence, { atMs, answeredMs = atMs }: Look) {
  const first = moves.findLastIndex((move) => move.atMs < atMs);
  return moves.slice(Math.max(0, first)).filter((move) => move.atMs <= answeredMs);
}

export const reading: readonly Invariant[] = [
  ofAll('end', 'what somebody is shown of an order is so when they ask', ({ looks, orders }, say) => {
    for (const look of looks) {
      const order = orders.get(look.orderId ?? '');
      if (order === undefined || look.answer === null) continue;
      const states = statesDuring(order, look);
      if (look.answer.answer === 'refused' && (states[0]?.atMs ?? look.atMs) < look.atMs)
        say(`is not found: ${look.answer.code}`, order.id);
      if (look.answer.answer !== 'seen') continue;
      const { order: seen, events } = look.answer;
      const isOne = states.some(
        ({ after }) =>
          after?.version === seen?.version &&
          after?.status === seen?.status &&
          after?.payment === seen?.payment &&
          after?.fulfillment === seen?.fulfillment &&
          after?.retry_count === seen?.retryCount &&
          after?.reason_code === (seen?.reason?.code ?? null),
      );
      if (seen !== undefined && !isOne) say(`is shown as ${seen.status}, version ${seen.version}`, order.id);
      const stories = states.map(({ after }) => order.events.slice(0, after?.version).map(({ id }) => id));
      if (events !== undefined && !stories.some((ids) => ids.join() === events.join()))
        say(`is shown with a timeline of ${events.length} events`, order.id);
    }
  }),

  ofOrder('history', 'a document tells the events of its version and no others', (order, say, { ledger }) => {
    const byVersion = order.events.toSorted((one, other) => one.version - other.version);
    for (const { document } of ledger.broughtOf(order.id)) {
      const its = byVersion.filter(({ version }) => version <= document.version);
      const told = document.timeline.map(({ eventId, type }) => `${type} ${eventId}`);
      const were = its.map(({ id, type }) => `${type} ${id}`);
      if (told.join() !== were.join()) say(`has a document of version ${document.version} that tells ${told}`);
      const last = its.at(-1);
      if (last === undefined || document.status !== nameOfType(last.type))
        say(`has a document of version ${document.version} with the step ${document.status}`);
    }
  }),

  ofOrder('history', 'an older document never replaces a newer one', (order, say, { ledger }) => {
    let version = 0;
    for (const { document } of storedOf(ledger.broughtOf(order.id))) {
      if (document.version <= version) say(`had version ${version} replaced by ${document.version}`);
      version = document.version;
    }
  }),

  ofOrder('end', 'each order has its document, unless a person was told', (order, say, { ledger, settings }) => {
    const { row } = order;
    if (row === null || !settings.consumers.includes('search')) return;
    const isParked = [...order.deadLetters.values()].some(
      ({ consumer, closed_at }) => consumer === 'search' && closed_at === null,
    );
    if (isParked) return;
    const document = storedOf(ledger.broughtOf(order.id)).at(-1)?.document;
    if (document === undefined) return say('has no document');
    const seen = [document.version, document.state, document.amount, document.currency, document.country];
    const is = [row.version, row.status, row.amount, row.currency, row.country];
    if (seen.join() !== is.join()) say(`has a document of ${seen.join()} and is ${is.join()}`);
    const [email, user, reason] = [document.customerEmail, document.userId, document.reason?.code ?? null];
    if (email !== row.customer_email || user !== row.user_id) say('has a document of another customer');
    if (reason !== row.reason_code) say(`has a document with the reason ${reason}, and its own is ${row.reason_code}`);
    const steps = new Set(order.events.map(({ type }) => nameOfType(type)));
    if (document.facts.length !== steps.size || document.facts.some((step) => !steps.has(step)))
      say(`has a document with the steps ${document.facts}`);
  }),
];
