// The topics: how they are called, and that they are there.
//
// Promises: `ensure` creates what is missing and resolves when a leader answers for each; it asks the
// broker once, and again only after `forget`. A topic that exists is left as it is, whatever its
// partitions. Refused: one sentence that says what to create by hand.

import type { Admin } from '@platformatic/kafka';
import type { System } from '../../bus/ports.ts';
import { bounded } from './bounded.ts';
import { refusalOf } from './kafka-client.ts';

export type TopicLayout = 'by-stream' | 'by-type';

// A week, as the broker's own default: the facts stay in the database for as long as they are wanted; on
// the topic they serve readers that are behind, ours for seconds and foreign ones perhaps over a weekend.
const retentionMs = 7 * 24 * 60 * 60 * 1_000;
// Each question to the broker.
const answerMs = 5_000;
// After a topic was created the brokers learn of it a moment later.
const lookEveryMs = 50;
const looksMax = 100;

// `orders.events.v1` holds all of a stream; by type OrderCreatedV1 of it is in `orders.order-created.v1`.
export function topicOf(type: string, stream: string, layout: TopicLayout): string {
  const parts = /^(.+?)(?:V(\d+))?$/.exec(type);
  if (layout === 'by-stream' || parts === null) return stream;
  const [, name = type, version = '1'] = parts;
  const kebab = name.replace(/(?<=[a-z\d])(?=[A-Z])/g, '-').toLowerCase();
  return `${stream.split('.')[0]}.${kebab}.v${version}`;
}

export type Topics = {
  readonly ensure: (names: readonly string[], signal: AbortSignal) => Promise<void>;
  // A topic may have been deleted: ask anew.
  readonly forget: () => void;
};

export function createTopics(options: {
  readonly admin: () => Admin;
  readonly partitions: number;
  readonly system: System;
}): Topics {
  const { admin, partitions, system } = options;
  const known = new Set<string>();
  let last: Promise<unknown> = Promise.resolve();

  async function ensure(names: readonly string[], signal: AbortSignal): Promise<void> {
    const missing = names.filter((name) => !known.has(name));
    if (missing.length === 0) return;
    const limits = { ms: answerMs, what: 'asking for the topics', system, signal };
    const existing = new Set(await bounded(admin().listTopics(), limits));
    for (const name of missing) {
      if (!existing.has(name)) await bounded(create(name), { ...limits, what: `creating the topic ${name}` });
    }
    await untilLed(missing, signal);
    for (const name of missing) known.add(name);
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

  async function untilLed(names: readonly string[], signal: AbortSignal): Promise<void> {
    for (let looks = 0; looks < looksMax && !signal.aborted; looks += 1) {
      try {
        const asked = admin().metadata({ topics: [...names], forceUpdate: true });
        const limits = { ms: answerMs, what: 'asking for the leaders of the topics', system, signal };
        const { topics } = await bounded(asked, limits);
        const isLed = (name: string) => topics.get(name)?.partitions.every(({ leader }) => leader >= 0) ?? false;
        if (names.every(isLed)) return;
      } catch (error) {
        // Not known yet; anything else shows in the next question as well, and ends the last one.
        if (looks === looksMax - 1) throw error;
      }
      await system.sleep(lookEveryMs, signal);
    }
    throw new Error(`the topics ${names.join(', ')} have no leader`);
  }

  return {
    // In turns: publisher and subscriptions of one process want the same topics at the same time.
    ensure: (names, signal) => {
      const turn = last.then(() => ensure(names, signal));
      last = turn.catch(() => {});
      return turn;
    },
    forget: () => known.clear(),
  };
}
