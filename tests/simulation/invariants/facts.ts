// Facts and the bus: what was committed, what was published, who was given it.

import { newerType, olderType } from '../releases.ts';
import { eventOf, isClaim, jobOf } from './calls.ts';
import { type Invariant, ofOrder } from './law.ts';

// Work that was taken over more often is claimed to be given up.
const takeoversMax = 10;

export const facts: readonly Invariant[] = [
  ofOrder('history', 'the first occurrences on the bus are in the order of the versions', (order, say) => {
    let published = 0;
    for (const { version, eventId, type, sequence } of order.publications) {
      if (!/^\d{10}$/.test(sequence)) say(`had a message with the sequence ${sequence}, which does not sort as text`);
      const fact = order.facts[version - 1];
      if (fact === undefined || fact.id !== eventId || fact.type !== type) {
        say(`had ${type} published as version ${version}, which is no fact of it`);
      } else if (version > published + 1) {
        say(`had version ${version} published before version ${published + 1}`);
      }
      published = Math.max(published, version);
    }
  }),

  ofOrder('history', 'a fact names its cause', (order, say) => {
    const { facts, factSequences } = order;
    for (const [index, { type, version, causation_id, data }] of facts.entries()) {
      const before = facts[index - 1];
      const isFirst = before === undefined || factSequences[index - 1] !== factSequences[index];
      const name = `${type} (version ${version})`;
      // A request is no fact.
      const isOfPerson = before === undefined || data.reason === 'canceled-by-request';
      if (!isFirst) {
        if (causation_id !== before.id) say(`has ${name} that does not come from the fact before it`);
      } else if (isOfPerson !== (causation_id === null)) {
        say(`has ${name} caused by ${causation_id}`);
      } else if (!isOfPerson && !facts.slice(0, index).some(({ id }) => id === causation_id)) {
        say(`has ${name} caused by ${causation_id}, which is no earlier fact of it`);
      }
    }
  }),

  ofOrder('history', 'a fact of a newer release waits for that release', (order, say, { settings, happenings }) => {
    for (const move of order.jobMoves) {
      const { process, after } = move;
      if (!isClaim(move) || after === null || after.takeovers > takeoversMax) continue;
      const fact = eventOf(order, after);
      if (fact === undefined || settings.subscribed.some(({ type }) => type === fact.type)) continue;
      const isNewer = happenings.some((one) => one.process === process && one.what === 'started' && one.isNewer);
      if (!isNewer) say(`had ${fact.type} worked on by ${process}, whose release does not know it`);
    }
  }),

  ofOrder('end', 'what a person wrote is in no fact', (order, say) => {
    const words = order.acts.flatMap((act) => act.words ?? []);
    for (const { type, data } of order.facts) {
      const text = JSON.stringify(data);
      if (words.some((written) => text.includes(written))) say(`has the words of a person in its ${type}`);
    }
  }),

  ofOrder('history', 'no fact is committed behind a cursor', (order, say) => {
    for (const { reader, fact, wasUnseen } of order.passes) {
      if (wasUnseen) say(`has ${fact.type} (version ${fact.version}) that ${reader} went past before it was there`);
    }
  }),

  ofOrder('history', "the relay's cursor passes no fact that the bus has not", (order, say) => {
    for (const { reader, fact, atMs } of order.passes) {
      if (reader !== 'relay') continue;
      const wasPublished = order.publications.some((one) => one.eventId === fact.id && one.atMs <= atMs);
      if (!wasPublished) say(`had version ${fact.version} passed before it was published`);
    }
  }),

  ofOrder('end', 'every fact reached every subscriber, once in effect', (order, say, { settings }) => {
    for (const fact of order.facts) {
      for (const { consumer, type } of settings.subscribed) {
        if (type !== fact.type.replace(newerType, olderType)) continue;
        const moves = order.jobMoves.filter((move) => {
          const job = jobOf(move);
          return job.consumer === consumer && job.version === fact.version;
        });
        const births = moves.filter(({ before }) => before === null).length;
        const ends = moves.filter(({ after }) => after === null).length;
        if (births === 0) say(`has ${fact.type} (version ${fact.version}) that ${consumer} was never given`);
        if (births > 0 && ends === 0) say(`has ${fact.type} (version ${fact.version}) that ${consumer} did not end`);
        if (ends > births) say(`had ${consumer} of version ${fact.version} ended ${ends} times`);
      }
    }
  }),
];
