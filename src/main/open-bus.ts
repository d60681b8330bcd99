// The bus that the settings name.
//
// Promises: nothing waits for a broker here; a process that neither publishes nor reads opens none. The
// code of a broker's client is loaded only where it is used.
// Relies on every process of an installation having the same table of subscriptions: who publishes must
// know who reads.

import type { Bus, Log, System } from '../bus/ports.ts';
import { createMemoryBus } from '../io/buses/memory.ts';
import type { Config } from './config.ts';
import { StartError } from './start-error.ts';

export async function openBus(
  { kind }: Config['bus'],
  parts: {
    // False = nothing is published or read here.
    readonly isUsed: boolean;
    readonly system: System;
    readonly log: Log;
    readonly onDropped: (group: string) => void;
  },
): Promise<Bus> {
  if (!parts.isUsed || kind === 'memory') return createMemoryBus(parts);
  throw new StartError(`BUS=${kind} is not part of this release.`);
}
