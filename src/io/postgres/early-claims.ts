// Jobs that are written as claimed, with the event that they are about (see engine/early-claims.ts).
//
// Promises: the work and the order are what a claim right after the commit would find and leave: nobody else can have
// seen the job in between. What a step does not admit is left to a claim of its own, which says why.

import type { OrderRecord } from '../../domain/order-record.ts';
import type { ClaimEarly, Event, Work } from '../../engine/ports.ts';
import type { EventWrite } from './events.ts';
import { recordAfter } from './orders.ts';

export function claimEarly(
  written: OrderRecord,
  events: readonly Event[],
  claim: ClaimEarly | undefined,
  at: Date,
): { readonly record: OrderRecord; readonly events: readonly EventWrite[]; readonly works: readonly Work[] } {
  if (claim === undefined) return { record: written, events, works: [] };
  let record = written;
  const works: Work[] = [];
  const claimed = events.map((event) => {
    const claims = claim(event);
    if (claims.length === 0) return event;
    const tokens: Record<string, string> = {};
    for (const { step, token } of claims) {
      if (!step.admits(record, event)) continue;
      const change = step.claimed(record, event, at, false);
      if (change !== null) record = recordAfter(record, change, token);
      tokens[step.consumer] = token;
      const work = { consumer: step.consumer, event, subject: record, token, epoch: 0, attempt: 1 };
      works.push({ ...work, waitedMs: 0, ageMs: 0, takenOver: false, exhausted: null });
    }
    return { ...event, tokens };
  });
  return { record, events: claimed, works };
}
