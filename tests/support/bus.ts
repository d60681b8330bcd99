// A bus in memory for tests, with the port's promises: each group gets every message of its types, members of a
// group share them, and what is published is handed over at once.

import type { Bus, Received } from '../../src/engine/bus.ts';

type Member = { readonly types: ReadonlySet<string>; readonly receive: (batch: readonly Received[]) => void };

export function createTestBus(): Bus {
  const groups = new Map<string, Member[]>();
  let handed = 0;
  return {
    publish: async (messages) => {
      for (const [group, members] of groups) {
        for (const { type, body } of messages) {
          handed += 1;
          const member = members[handed % members.length];
          if (member?.types.has(type)) member.receive([{ body, at: `${group}@${handed}` }]);
        }
      }
    },
    subscribe: async (group, types, receive) => {
      const member: Member = { types: new Set(types), receive };
      groups.set(group, [...(groups.get(group) ?? []), member]);
      return {
        close: async () => {
          const left = (groups.get(group) ?? []).filter((one) => one !== member);
          if (left.length > 0) groups.set(group, left);
          else groups.delete(group);
        },
      };
    },
    lag: async () => new Map(),
    close: async () => {},
  };
}
