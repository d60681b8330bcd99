// How many messages a consumer group has not committed yet, over all its partitions and members.
//
// Promises: one answer per group, within bounded time; rejects when the brokers do not give it. Messages of types
// that the group does not read count too: Kafka knows places, not types.

import { type Admin, ListOffsetTimestamps } from '@platformatic/kafka';
import type { System } from '../../engine/ports.ts';
import { within } from '../within.ts';

// Metrics are scraped every few seconds; a late answer is worth less than none.
const answerMs = 2_000;

export type GroupTopics = { readonly group: string; readonly topicNames: readonly string[] };

export function readLag(admin: Admin, groups: readonly GroupTopics[], system: System): Promise<Map<string, number>> {
  return within({ what: 'reading the lag', ms: answerMs, system }, () => lagOf(admin, groups));
}

async function lagOf(admin: Admin, groups: readonly GroupTopics[]): Promise<Map<string, number>> {
  const names = [...new Set(groups.flatMap(({ topicNames }) => topicNames))];
  if (names.length === 0) return new Map();
  const { topics } = await admin.metadata({ topics: names });
  const places = names.map((name) => ({
    name,
    partitionIndexes: Array.from({ length: topics.get(name)?.partitionsCount ?? 0 }, (_, index) => index),
  }));
  const endsOf = async (timestamp: bigint) => {
    const asked = places.map(({ name, partitionIndexes }) => ({
      name,
      partitions: partitionIndexes.map((partitionIndex) => ({ partitionIndex, timestamp })),
    }));
    const listed = await admin.listOffsets({ topics: asked });
    return byPlace(
      listed.map(({ name, partitions }) => [name, partitions.map((one) => [one.partitionIndex, one.offset])]),
    );
  };
  const [first, last, committed] = await Promise.all([
    endsOf(ListOffsetTimestamps.EARLIEST),
    endsOf(ListOffsetTimestamps.LATEST),
    admin.listConsumerGroupOffsets({
      groups: groups.map(({ group, topicNames }) => ({
        groupId: group,
        topics: places.filter(({ name }) => topicNames.includes(name)),
      })),
    }),
  ]);
  return new Map(
    groups.map(({ group, topicNames }) => {
      const known = committed.find(({ groupId }) => groupId === group)?.topics ?? [];
      const at = byPlace(
        known.map(({ name, partitions }) => [name, partitions.map((one) => [one.partitionIndex, one.committedOffset])]),
      );
      let lag = 0;
      for (const { name, partitionIndexes } of places) {
        if (!topicNames.includes(name)) continue;
        for (const index of partitionIndexes) {
          const place = `${name}:${index}`;
          // Nothing committed yet: all that is there waits. What retention removed does not.
          const from = [at.get(place) ?? -1n, first.get(place) ?? 0n].reduce((one, other) =>
            one > other ? one : other,
          );
          lag += Math.max(0, Number((last.get(place) ?? 0n) - from));
        }
      }
      return [group, lag];
    }),
  );
}

function byPlace(topics: readonly (readonly [string, readonly (readonly [number, bigint])[]])[]): Map<string, bigint> {
  return new Map(
    topics.flatMap(([name, partitions]) => partitions.map(([index, offset]) => [`${name}:${index}`, offset])),
  );
}
