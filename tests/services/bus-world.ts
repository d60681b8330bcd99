// What the suite for buses works with: a world of names that nobody else uses, messages as the relay
// makes them, and readers that keep what they were handed.

import { randomUUID } from 'node:crypto';
import type { Bus, Message, ReaderGroup, Received } from '../../src/engine/bus.ts';
import { toMessage } from '../../src/engine/envelope.ts';
import { createSystem } from '../../src/io/system.ts';
import { until } from '../support/until.ts';

// Plain data, so that it can be handed to another process.
export type World = { readonly stream: string; readonly readers: readonly ReaderGroup[] };

export const signal = new AbortController().signal;
const system = createSystem();

export function createWorld(readers: Record<string, readonly string[]> = { payment: ['OrderCreatedV1'] }): World {
  const space = randomUUID().slice(0, 8);
  return {
    stream: `t${space}.events.v1`,
    readers: Object.entries(readers).map(([name, types]) => ({ group: `orderly.${name}-${space}`, types })),
  };
}

type Chosen = { readonly key?: string; readonly type?: string; readonly text?: string };

export function messagesOf(world: World, count: number, choose: (index: number) => Chosen = () => ({})): Message[] {
  return Array.from({ length: count }, (_, index) => {
    const { key = `order-${index % 50}`, type = 'OrderCreatedV1', text = `message ${index}` } = choose(index);
    const event = {
      id: system.newId(),
      type,
      subject: key,
      version: index,
      time: system.now(),
      correlationId: 'a test',
      causationId: null,
      traceparent: null,
      data: { text },
    };
    return toMessage(event, world.stream);
  });
}

export const idsOf = (messages: readonly Message[]) => messages.map((message) => message.id);

export function idOf({ body }: Received): string {
  const at = body.indexOf('"id":"');
  // From the bytes: a part of a string would keep the whole of it in memory.
  return at < 0 ? 'none' : body.toString('latin1', at + 6, body.indexOf('"', at + 6));
}

// As the relay publishes: again until it worked, for a topic or queue that was just created may need a moment.
export async function publishAll(bus: Bus, messages: readonly Message[]): Promise<void> {
  await until(async () => {
    await bus.publish(messages, AbortSignal.timeout(10_000));
    return true;
  }, 'a publish');
}

export type Reader = {
  // Of the first hundred that were handed over.
  readonly bodies: readonly Buffer[];
  readonly places: readonly string[];
  // Every handing over, repeated ones included.
  readonly seen: readonly string[];
  readonly ids: () => ReadonlySet<string>;
  readonly has: (messages: readonly Message[]) => boolean;
  readonly calls: () => number;
  readonly close: () => Promise<void>;
};

export async function read(
  bus: Bus,
  world: World,
  name: string,
  onBatch: (batch: readonly Received[]) => void = () => {},
): Promise<Reader> {
  const readers = world.readers.find(({ group }) => group.startsWith(`orderly.${name}-`));
  if (readers === undefined) throw new Error(`no group ${name} in this world`);
  const bodies: Buffer[] = [];
  const places: string[] = [];
  const seen: string[] = [];
  const different = new Set<string>();
  let calls = 0;
  const subscription = await bus.subscribe(readers.group, readers.types, (batch) => {
    calls += 1;
    for (const received of batch) {
      const id = idOf(received);
      seen.push(id);
      different.add(id);
      if (bodies.length === 100) continue;
      bodies.push(Buffer.from(received.body));
      places.push(received.at);
    }
    onBatch(batch);
  });
  return {
    ...{ bodies, places, seen },
    ids: () => different,
    has: (messages) => messages.every(({ id }) => different.has(id)),
    calls: () => calls,
    close: subscription.close,
  };
}
