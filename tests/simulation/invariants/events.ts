// Events and the bus: what was committed, what was published, who was given it.

import { newerType, olderType } from '../releases.ts';
import { eventOf, isClaim, jobOf } from './calls.ts';
import { type Invariant, ofOrder } from './law.ts';

// Work that was taken over more often is claimed to be given up.
const takeoversMax = 10;

export const events: readonly Invariant[] = [
  ofOrder('history', 'the first occurrences on the bus are in the order of the versions', (order, say) => {
    let published = 0;
    for (const { version, eventId, type, sequence } of order.publications) {
      if (!/^\d{10}$/.test(sequence)) say(`had a message with the sequence ${sequence}, which does not sort as text`);
      const event = order.events[version - 1];
      if (event === undefined || event.id !== eventId || event.type !== type) {
        say(`had ${type} published as version ${version}, which is no event of it`);
      } else if (version > published + 1) {
        say(`had version ${version} published before version ${published + 1}`);
      }
      published = Math.max(published, version);
    }
  }),

  ofOrder('history', 'an event names its cause', (order, say) => {
    const { events, eventSequences } = order;
    for (const [index, { type, version, causation_id, data }] of events.entries()) {
      const before = events[index - 1];
      const isFirst = before === undefined || eventSequences[index - 1] !== eventSequences[index];
      const name = `${type} (version ${version})`;
      // A request is no event.
      const isOfPerson = before === undefined || data.reason === 'canceled-by-request';
      if (!isFirst) {
        if (causation_id !== before.id) say(`has ${name} that does not come from the event before it`);
      } else if (isOfPerson !== (causation_id === null)) {
        say(`has ${name} caused by ${causation_id}`);
      } else if (!isOfPerson && !events.slice(0, index).some(({ id }) => id === causation_id)) {
        say(`has ${name} caused by ${causation_id}, which is no earlier event of it`);
      }
    }
  }),

  ofOrder('history', 'an event of a newer release waits for that release', (order, say, { settings, happenings }) => {
    for (const move of order.jobMoves) {
      const { process, after } = move;
      if (!isClaim(move) || after === null || after.takeovers > takeoversMax) continue;
      const event = eventOf(order, after);
      if (event === undefined || settings.subscribed.some(({ type }) => type === event.type)) continue;
      const isNewer = happenings.some((one) => one.process === process && one.what === 'started' && one.isNewer);
      if (!isNewer) say(`had ${event.type} worked on by ${process}, whose release does not know it`);
    }
  }),

  ofOrder('end', 'what a person wrote is in no event', (order, say) => {
    const words = order.acts.flatMap((act) => act.words ?? []);
    for (const { type, data } of order.events) {
      const text = JSON.stringify(data);
      if (words.some((written) => text.includes(written))) say(`has the words of a person in its ${type}`);
    }
  }),

  ofOrder('history', 'no event is committed behind a cursor', (order, say) => {
    for (const { reader, event, wasUnseen } of order.passes) {
      if (wasUnseen) say(`has ${event.type} (version ${event.version}) that ${reader} went past before it was there`);
    }
  }),

  ofOrder('history', "the relay's cursor passes no event that the bus has not", (order, say) => {
    for (const { reader, event, atMs } of order.passes) {
      if (reader !== 'relay') continue;
      const wasPublished = order.publications.some((one) => one.eventId === event.id && one.atMs <= atMs);
      if (!wasPublished) say(`had version ${event.version} passed before it was published`);
    }
  }),

  ofOrder('end', 'every event reached every subscriber, once in effect', (order, say, { settings }) => {
    for (const event of order.events) {
      for (const { consumer, type } of settings.subscribed) {
        if (type !== event.type.replace(newerType, olderType)) continue;
        const moves = order.jobMoves.filter((move) => {
          const job = jobOf(move);
          return job.consumer === consumer && job.version === event.version;
        });
        const births = moves.filter(({ before }) => before === null).length;
        const ends = moves.filter(({ after }) => after === null).length;
        if (births === 0) say(`has ${event.type} (version ${event.version}) that ${consumer} was never given`);
        if (births > 0 && ends === 0) say(`has ${event.type} (version ${event.version}) that ${consumer} did not end`);
        if (ends > births) say(`had ${consumer} of version ${event.version} ended ${ends} times`);
      }
    }
  }),
];
