// What is still owed: to clients, to the bus, to consumers, and orders that have not ended.
//
// Promises: empty only when nothing is under way any more. Each thing is a sentence, for whoever reads why a world
// has not come to its end; asked for the first one alone, it looks no further.

import type { Clients } from './clients.ts';
import type { Machine } from './machine.ts';
import type { Recorder } from './recorder.ts';

export function* owedIn(world: {
  readonly recorder: Recorder;
  readonly clients: Clients;
  readonly machines: readonly Machine[];
  readonly nowMs: () => number;
}): Generator<string> {
  const { recorder, clients, machines, nowMs } = world;
  const { cursors, tokens, settings, orders } = recorder.evidence;
  if (clients.areBusy()) yield 'a client still waits';
  for (const { reader, token, lease_until } of cursors.values()) {
    const holder = token === null ? undefined : tokens.get(token)?.process;
    const isAlive = holder === undefined || machines.some((machine) => machine.life()?.name === holder);
    if (!isAlive && Number(lease_until) > settings.epochMs + nowMs())
      yield `the cursor of ${reader} is held by the dead`;
  }
  for (const order of orders.values()) {
    if (order.row?.status === 'PENDING' || order.row?.status === 'PROCESSING')
      yield `order ${order.id} is ${order.row.status}`;
    for (const { reader, event } of order.owed.values())
      yield `version ${event.version} of ${order.id} lies before the cursor of ${reader}`;
    for (const { consumer, version } of order.jobs.values())
      yield `${consumer} still has version ${version} of ${order.id} to do`;
  }
}
