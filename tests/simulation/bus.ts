// A bus shared by all machines, worse than any that is sold: it loses, doubles, delays, reorders, corrupts and
// invents messages, and can be wiped.
//
// Promises: a message goes to one member of each group, and is acknowledged as soon as it is handed over; one that was
// not comes again. Without faults it is the port of src/engine/ports.ts. Nothing it does may cost more than time, which
// is what the simulation is about.

import type { Bus, Message, Received } from '../../src/engine/bus.ts';
import { envelopeBytesMax } from '../../src/engine/envelope.ts';
import { type Life, never } from './life.ts';
import type { createNetwork, World } from './network.ts';

export type BusPlan = {
  readonly redelivers: boolean;
  // Keeps what a group has no member for.
  readonly durable: boolean;
  // Whether a group gets the types it names, or all versions of them, as from a topic.
  readonly filters: 'type' | 'name';
  readonly latencyMs: readonly [number, number];
  readonly loses: number;
  readonly doubles: number;
  readonly delays: number;
  readonly delayMsMax: number;
  readonly corrupts: number;
  readonly forges: number;
  // An acknowledgment that gets lost is a message that comes again.
  readonly losesAcks: number;
  readonly publishesPart: number;
};

type Member = {
  readonly life: Life;
  readonly receive: (batch: readonly Received[]) => void;
  isClosed: boolean;
};
type Group = {
  readonly name: string;
  types: ReadonlySet<string>;
  readonly members: Member[];
  readonly kept: Buffer[];
};

// A redelivery comes this much later: what brokers call visibility timeout or session timeout.
const redeliveryMs = 700;
const nameOf = (type: string) => type.replace(/V\d+$/, '');

export type SimulatedBus = {
  readonly busFor: (life: Life) => Bus;
  readonly wipe: () => void;
  readonly heal: () => void;
  // Somebody who is not our relay writes to every topic.
  readonly inject: (body: Buffer) => void;
};

export function createSimulatedBus(options: {
  readonly world: World;
  readonly network: ReturnType<typeof createNetwork>;
  readonly plan: BusPlan;
  readonly onPublished: (life: Life, message: Message) => void;
}): SimulatedBus {
  const { world, network, plan, onPublished } = options;
  const { clock, draws, counters, trace } = world;
  const luck = draws('bus');
  const groups = new Map<string, Group>();
  let isHealthy = false;
  let epoch = 0;

  const befalls = (probability: number, name: string): boolean => {
    // A stream each: with one of them switched off the others meet the same luck.
    if (isHealthy || !draws(`the bus ${name}`).isHit(probability)) return false;
    counters.count(`fault: the bus ${name}`);
    return true;
  };

  function publishOne(message: Message): void {
    for (const group of groups.values()) {
      const isAsked = group.types.has(plan.filters === 'type' ? message.type : nameOf(message.type));
      if (!isAsked || befalls(plan.loses, 'loses')) continue;
      const body = befalls(plan.corrupts, 'corrupts') ? corrupted(message.body) : message.body;
      send(group, body);
      if (befalls(plan.doubles, 'doubles')) send(group, body);
      if (befalls(plan.forges, 'forges')) send(group, forged(message));
    }
  }

  // On its way; others may pass it by.
  function send(group: Group, body: Buffer): void {
    const sentIn = epoch;
    const isLate = befalls(plan.delays, 'delays');
    const ms = isLate ? luck.between(0, plan.delayMsMax) : luck.between(...plan.latencyMs);
    clock.after(ms, () => {
      if (sentIn === epoch) hand(group, body);
    });
  }

  function hand(group: Group, body: Buffer): void {
    const alive = group.members.filter((member) => !member.life.isOver() && !member.isClosed);
    if (alive.length === 0) {
      if (plan.durable) group.kept.push(body);
      return;
    }
    const member = luck.pick(alive);
    const { life } = member;
    const handedIn = epoch;
    let isEnded = false;
    const end = (isTaken: boolean) => {
      if (isEnded) return;
      isEnded = true;
      if (isTaken || !plan.redelivers) return;
      clock.after(redeliveryMs, () => {
        if (handedIn !== epoch) return;
        counters.count('the bus redelivered');
        hand(group, body);
      });
    };
    life.onEnd(() => end(false));
    life.resume(() => {
      if (member.isClosed) return end(false);
      trace.note(life.name, 'bus.receive', group.name);
      member.receive([{ body, at: `${group.name} in the simulation` }]);
      const mishap = life.isFrozen() ? null : world.faults.atCall(life, 'bus.ack');
      if (mishap !== null) {
        trace.note(life.name, 'bus.ack', `${mishap.at}: ${mishap.what}`);
        counters.count(`fault: ${mishap.what} ${mishap.at} an acknowledgment`);
      }
      const isKept = mishap === null || mishap.at === 'after';
      end(isKept && mishap?.what !== 'lose' && !befalls(plan.losesAcks, 'loses an acknowledgment'));
      if (mishap?.what === 'crash') world.kill(life, mishap.ms);
      const standsStillMs = mishap?.what === 'freeze' ? mishap.ms : mishap?.freezesMs;
      if (standsStillMs !== undefined) life.freeze(standsStillMs);
    });
  }

  function corrupted(body: Buffer): Buffer {
    switch (luck.whole(0, 3)) {
      case 0:
        return body.subarray(0, luck.whole(0, body.length - 1));
      case 1:
        return Buffer.from(`{"specversion":"1.0","id":"no uuid ${luck.bits()}"}`);
      case 2:
        return Buffer.alloc(envelopeBytesMax + 1, ' ');
      default: {
        const bytes = Buffer.from(body);
        const index = luck.whole(0, bytes.length - 1);
        bytes[index] = (bytes[index] ?? 0) ^ (1 << luck.whole(0, 7));
        return bytes;
      }
    }
  }

  // Somebody else writes to the topic: of an event that does not exist, or with a lie about one that does.
  function forged(message: Message): Buffer {
    const envelope = JSON.parse(message.body.toString()) as Record<string, unknown>;
    if (luck.isHit(0.3)) envelope.subject = '00000000-0000-4000-8000-000000000000';
    else if (luck.isHit(0.5)) envelope.sequence = String(luck.whole(1, 9)).padStart(10, '0');
    else envelope.data = { orderId: message.key, amount: 1, currency: 'XTS', status: 'PROCESSED' };
    return Buffer.from(JSON.stringify(envelope));
  }

  function busFor(life: Life): Bus {
    const members: Member[] = [];
    const lost = () => new Error('the connection to the bus was lost');
    return {
      publish: (messages, signal) =>
        network.call({
          life,
          label: 'bus.publish',
          subject: messages[0]?.key ?? null,
          latencyMs: plan.latencyMs,
          signal,
          act: () => {
            const part = befalls(plan.publishesPart, 'takes a part')
              ? luck.whole(0, messages.length - 1)
              : messages.length;
            for (const message of messages.slice(0, part)) {
              onPublished(life, message);
              publishOne(message);
            }
            if (part < messages.length) throw new Error('the bus took only a part of the messages');
          },
          lost,
          gaveUp: () => new Error('publishing was given up'),
        }),
      subscribe: async (name, types, receive) => {
        const wanted = plan.filters === 'type' ? types : types.map(nameOf);
        let group = groups.get(name);
        if (group === undefined) {
          group = { name, types: new Set(wanted), members: [], kept: [] };
          groups.set(name, group);
        }
        group.types = new Set([...group.types, ...wanted]);
        const member: Member = { life, receive, isClosed: false };
        group.members.push(member);
        members.push(member);
        const joined = group;
        life.onEnd(() => void joined.members.splice(joined.members.indexOf(member), 1));
        for (const body of group.kept.splice(0)) send(group, body);
        return {
          close: async () => {
            if (life.isOver()) return never();
            member.isClosed = true;
          },
        };
      },
      lag: async () => new Map(),
      close: async () => {
        for (const member of members) member.isClosed = true;
      },
    };
  }

  return {
    busFor,
    wipe: () => {
      epoch += 1;
      counters.count('fault: the bus is wiped');
      trace.note('bus', 'wipe', 'everything on its way is gone');
      for (const group of groups.values()) group.kept.length = 0;
    },
    heal: () => {
      isHealthy = true;
    },
    inject: (body) => {
      for (const group of groups.values()) send(group, body);
    },
  };
}
