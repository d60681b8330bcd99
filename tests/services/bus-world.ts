// What the suite for buses works with: a world of names that nobody else uses, messages as the relay
// makes them, and readers that keep what they were handed.

import { randomUUID } from 'node:crypto';
import { toMessage } from '../../src/engine/envelope.ts';
import type { Bus, Message, ReaderGroup, Received } from '../../src/engine/ports.ts';
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
    const fact = {
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
    return toMessage(fact, world.stream);
  });
}

export const idsOf = (messages: readonly Message[]) => messages.map((message) => message.id);

export function idOf(received: Received): string {
  return /"id":"([^"]+)"/.exec(received.body.toString('latin1'))?.[1] ?? 'none';
}

// As the relay publishes: again until it worked, for a topic or queue that was just created may need a moment.
export async function publishAll(bus: Bus, messages: readonly Message[]): Promise<void> {
  await until(async () => {
    await bus.publish(messages, AbortSignal.timeout(10_000));
    return true;
  }, 'a publish');
}

export type Reader = {
  // Every handing over, repeated ones included.
  readonly bodies: readonly Buffer[];
  readonly seen: readonly string[];
  readonly ids: () => ReadonlySet<string>;
  // Those whose `receive` resolved, in the order in which it did for the first time.
  readonly taken: ReadonlySet<string>;
  readonly calls: () => number;
  // Calls of `receive` that are running, and the most that ever were.
  readonly running: () => number;
  readonly close: () => Promise<void>;
};

// `receive` sees the ids of a batch and may take its time, or throw.
export async function read(
  bus: Bus,
  world: World,
  name: string,
  receive: (ids: readonly string[]) => Promise<void> = async () => {},
): Promise<Reader> {
  const readers = world.readers.find(({ group }) => group.startsWith(`orderly.${name}-`));
  if (readers === undefined) throw new Error(`no group ${name} in this world`);
  const bodies: Buffer[] = [];
  const seen: string[] = [];
  const different = new Set<string>();
  const taken = new Set<string>();
  let calls = 0;
  let running = 0;
  const subscription = await bus.subscribe(readers.group, readers.types, async (batch) => {
    const ids = batch.map(idOf);
    calls += 1;
    running += 1;
    seen.push(...ids);
    for (const id of ids) different.add(id);
    if (bodies.length < 100) bodies.push(...batch.map(({ body }) => Buffer.from(body)));
    try {
      await receive(ids);
      for (const id of ids) taken.add(id);
    } finally {
      running -= 1;
    }
  });
  return {
    bodies,
    seen,
    ids: () => different,
    taken,
    calls: () => calls,
    running: () => running,
    close: subscription.close,
  };
}
