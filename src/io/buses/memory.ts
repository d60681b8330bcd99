// The bus in memory: for one process that runs everything.
//
// Promises: order per group as published; bounded memory: a group that is slow loses the hints that do
// not fit, and pulls those facts from the database later. One slow group never holds up the others.
// Process dies: everything here is gone, and nothing is lost, for the database is the truth.

import type { Bus, Log, Received } from '../../engine/ports.ts';

// Messages kept per group, about a kilobyte each: a second or two of work at full speed.
const capacity = 4_096;
// Handed over at once; several batches may be under way, so that claims of the next are made while the
// former wait for their slots.
const batchMax = 128;
const batchesUnderWayMax = 4;

export function createMemoryBus(options: { readonly log: Log; readonly onDropped?: (group: string) => void }): Bus {
  const { log, onDropped = () => {} } = options;
  type Group = {
    readonly name: string;
    readonly types: ReadonlySet<string>;
    readonly receive: (batch: readonly Received[]) => Promise<void>;
    queue: Received[];
    underWay: Set<Promise<void>>;
    closed: boolean;
  };
  const groups = new Set<Group>();

  function deliver(group: Group): void {
    while (!group.closed && group.queue.length > 0 && group.underWay.size < batchesUnderWayMax) {
      const batch = group.queue.splice(0, batchMax);
      const received = group
        .receive(batch)
        .catch((error) => {
          if (!group.closed)
            log.warn({ group: group.name, error: String(error) }, 'a batch was not taken; it will be pulled');
        })
        .finally(() => {
          group.underWay.delete(received);
          deliver(group);
        });
      group.underWay.add(received);
    }
  }

  return {
    capabilities: { ordered: true, durable: false, redelivers: false },
    publish: async (messages) => {
      for (const group of groups) {
        for (const message of messages) {
          if (!group.types.has(message.type)) continue;
          if (group.queue.length < capacity) group.queue.push({ body: message.body });
          else onDropped(group.name);
        }
        deliver(group);
      }
    },
    subscribe: async (name, types, receive) => {
      const group: Group = { name, types: new Set(types), receive, queue: [], underWay: new Set(), closed: false };
      groups.add(group);
      return {
        close: async () => {
          group.closed = true;
          groups.delete(group);
          await Promise.all(group.underWay);
        },
      };
    },
    close: async () => {
      for (const group of groups) group.closed = true;
      groups.clear();
    },
  };
}
