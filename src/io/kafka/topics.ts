// The topics: how they are called, and that they are there.
//
// Promises: `ensure` creates what is missing and resolves when a leader answers for each, or rejects within bounded
// time; it asks the brokers once, and again only after `forget` or a failure. A topic that exists is left as it is,
// whatever its partitions. Refused: one sentence that says what to create by hand.

import type { Admin } from '@platformatic/kafka';
import type { System } from '../../engine/ports.ts';
import { within } from '../within.ts';
import { refusalOf } from './client.ts';

export type TopicLayout = 'by-stream' | 'by-type';

// A week, as the broker's own default: events stay in the database for as long as they are wanted; on the topic
// they serve readers that are behind, ours for seconds and foreign ones perhaps over a weekend.
const retentionMs = 7 * 24 * 60 * 60 * 1_000;
// All questions together, below the deadline of a publish, which waits for them.
const ensureMs = 4_000;
// After a topic was created the brokers learn of it a moment later.
const pollEveryMs = 50;

// `orders.events.v1` holds all of a stream; by type OrderCreatedV1 of it is in `orders.order-created.v1`.
export function topicOf(type: string, stream: string, layout: TopicLayout): string {
  const parts = /^(.+?)(?:V(\d+))?$/.exec(type);
  if (layout === 'by-stream' || parts === null) return stream;
  const [, name = type, version = '1'] = parts;
  const kebab = name.replace(/(?<=[a-z\d])(?=[A-Z])/g, '-').toLowerCase();
  return `${stream.split('.')[0]}.${kebab}.v${version}`;
}

export type Topics = {
  readonly ensure: () => Promise<void>;
  // A topic may have been deleted: ask anew.
  readonly forget: () => void;
};

export function createTopics(options: {
  readonly admin: () => Admin;
  // All topics of the product: foreign readers want those, too, that none of our own reads.
  readonly names: readonly string[];
  readonly partitions: number;
  readonly system: System;
}): Topics {
  const { admin, names, partitions, system } = options;
  // Shared by the publisher and all readers of the process.
  let ensured: Promise<void> | null = null;

  // Looks from the start each time: what was there, or was made, may have been deleted a moment later, and nobody
  // else would make it.
  async function make(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const existing = new Set(await admin().listTopics());
      for (const name of names) {
        signal.throwIfAborted();
        if (!existing.has(name)) await create(name);
      }
      if (await areLed()) return;
      await system.sleep(pollEveryMs, signal);
    }
  }

  // One at a time, so that the answer belongs to it.
  async function create(topic: string): Promise<void> {
    // -1: as many replicas as the cluster says; the number is an operator's matter, not ours.
    const configs = [{ name: 'retention.ms', value: String(retentionMs) }];
    try {
      await admin().createTopics({ topics: [{ topic, partitions, replicas: -1 }], configs });
    } catch (error) {
      const reason = refusalOf(error);
      if (reason === 'TOPIC_ALREADY_EXISTS') return;
      if (reason === null) throw error;
      const remedy = `create it with ${partitions} partitions, or allow this user to create topics`;
      throw new Error(`Kafka refused to create the topic ${topic} (${reason}): ${remedy}`, { cause: error });
    }
  }

  async function areLed(): Promise<boolean> {
    try {
      const { topics } = await admin().metadata({ topics: [...names], forceUpdate: true });
      return names.every((name) => topics.get(name)?.partitions.every(({ leader }) => leader >= 0) ?? false);
    } catch {
      // Created a moment ago, or deleted again. A broker that is away shows in the next question as well.
      return false;
    }
  }

  return {
    ensure: () => {
      if (ensured !== null) return ensured;
      const asked = within({ what: `making sure of the topics ${names.join(', ')}`, ms: ensureMs, system }, make);
      ensured = asked;
      asked.catch(() => {
        if (ensured === asked) ensured = null;
      });
      return asked;
    },
    forget: () => {
      ensured = null;
    },
  };
}
