// Facts and the bus: what was committed, what was published, who was given it.

import { type Invariant, ofAll, ofOrder } from './law.ts';

export const facts: readonly Invariant[] = [
  ofOrder('history', 'the first occurrences on the bus are in the order of the versions', (order, say) => {
    let published = 0;
    for (const { version, eventId, type } of order.publications) {
      const fact = order.facts[version - 1];
      if (fact === undefined || fact.id !== eventId || fact.type !== type) {
        say(`had ${type} published as version ${version}, which is no fact of it`);
      } else if (version > published + 1) {
        say(`had version ${version} published before version ${published + 1}`);
      }
      published = Math.max(published, version);
    }
  }),

  ofOrder('history', 'a fact is owed to the bus from its commit until the bus has it', (order, say) => {
    const owed = new Map(
      order.owedMoves.filter(({ before }) => before === null).map((move) => [move.after?.version, move]),
    );
    for (const [index, fact] of order.facts.entries()) {
      const debt = owed.get(fact.version);
      if (debt?.sequence !== order.factSequences[index] || debt?.after?.event_id !== fact.id) {
        say(`has the fact ${fact.type} (version ${fact.version}) without its debt to the bus`);
      }
    }
    for (const { before, after } of order.owedMoves) {
      if (after !== null || before === null) continue;
      const wasPublished = order.publications.some(({ eventId }) => eventId === before.event_id);
      if (!wasPublished) say(`had version ${before.version} forgotten before it was published`);
    }
  }),

  ofOrder('end', 'every fact reached every subscriber, once in effect', (order, say, { settings }) => {
    for (const fact of order.facts) {
      for (const { consumer, type } of settings.subscribed) {
        if (type !== fact.type) continue;
        const state = order.deliveries.get(`${consumer} ${fact.id}`)?.state;
        if (state === undefined) say(`has ${fact.type} (version ${fact.version}) that ${consumer} was never given`);
      }
    }
    const ends = new Map<string, number>();
    for (const { after, before } of order.deliveryMoves) {
      if (after === null || after.state === before?.state || !['done', 'skipped'].includes(after.state)) continue;
      const key = `${after.consumer} ${after.event_id}`;
      ends.set(key, (ends.get(key) ?? 0) + 1);
    }
    for (const [key, times] of ends) if (times > 1) say(`had ${key} ended ${times} times`);
  }),

  ofOrder('end', 'nobody is given a fact that does not exist', (order, say) => {
    for (const { event_id, order_id, consumer } of order.deliveries.values()) {
      if (order_id !== null && !order.facts.some((fact) => fact.id === event_id)) {
        say(`has a delivery to ${consumer} of ${event_id}, which is no fact of it`);
      }
    }
  }),

  ofAll('end', 'no true fact is taken for a forged one', ({ orders, unread }, say) => {
    const forged = [...unread.letters.values()].filter(({ code }) => code === 'unknown-fact');
    if (forged.length === 0) return;
    const known = new Map([...orders.values()].flatMap((order) => order.facts.map((fact) => [fact.id, order.id])));
    for (const { event_id, consumer } of forged) {
      const orderId = known.get(event_id ?? '');
      if (orderId !== undefined) say(`had a fact parked by ${consumer} as one that does not exist`, orderId);
    }
  }),
];
