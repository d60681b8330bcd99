// Where relay and workers serve health and metrics: a port per role, so that a scraper can be told before they start.
//
// Promises: 3001 for the relay, then one for each consumer in the order of the help page; a worker of several has the
// port of its first. A further process of the same role on this machine takes the port ten above, and so on. A port
// that the settings name is taken as it is, or not at all.

import { allConsumers } from './arguments.ts';

const firstPort = 3_001;
const step = 10;
// Processes of one role on one machine that have a port of the scheme; further ones take any that is free.
const copiesMax = 20;

export function portOf(role: string, first = firstPort, copy = 0): number {
  return first + ['relay', ...allConsumers].indexOf(role) + copy * step;
}

// The ports to try, in this order; the last one is any that is free.
export function portsFor({ relay, consumers }: { relay: boolean; consumers: readonly string[] }): readonly number[] {
  const role = relay ? 'relay' : (consumers[0] ?? 'relay');
  return [...Array.from({ length: copiesMax }, (_, copy) => portOf(role, firstPort, copy)), 0];
}
