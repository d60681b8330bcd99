// How many messages a consumer group has not committed yet, over all its partitions and members.
//
// Promises: one answer per group, within bounded time; rejects when the brokers do not give it. Messages of
// types that the group does not read count too: Kafka knows places, not types.

import type { Admin } from '@platformatic/kafka';
import type { System } from '../../engine/ports.ts';
import { bounded } from './bounded.ts';

// Metrics are scraped every few seconds; a late answer is worth less than none.
const answerMs = 2_000;
// Kafka's names for the two ends of a partition.
const earliest = -2n;
const latest = -1n;

type Group = { readonly group: string; readonly topicNames: readonly string[] };

export function readLag(admin: Admin, groups: readonly Group[], system: System): Promise<ReadonlyMap<string, number>> {
  return bounded(lagOf(admin, groups), { ms: answerMs, what: 'reading the lag', system });
}

async function lagOf(admin: Admin, groups: readonly Group[]): Promise<ReadonlyMap<string, number>> {
  const names = [...new Set(groups.flatMap(({ topicNames }) => topicNames))];
  if (names.length === 0) return new Map();
  const { topics } = await admin.metadata({ topics: names });
  const places = names.map((name) => ({
    name,
    partitionIndexes: Array.from({ length: topics.get(name)?.partitionsCount ?? 0 }, (_, index) => index),
  }));
  const ends = async (timestamp: bigint) => {
    const asked = places.map(({ name, partitionIndexes }) => ({
      name,
      partitions: partitionIndexes.map((partitionIndex) => ({ partitionIndex, timestamp })),
    }));
    const listed = await admin.listOffsets({ topics: asked });
    return new Map(
      listed.flatMap((topic) => topic.partitions.map((one) => [`${topic.name}:${one.partitionIndex}`, one.offset])),
    );
  };
  const [first, last, committed] = await Promise.all([
    ends(earliest),
    ends(latest),
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
      const at = new Map(
        known.flatMap((topic) =>
          topic.partitions.map((one) => [`${topic.name}:${one.partitionIndex}`, one.committedOffset]),
        ),
      );
      const waiting = places
        .filter(({ name }) => topicNames.includes(name))
        .flatMap(({ name, partitionIndexes }) => partitionIndexes.map((index) => `${name}:${index}`))
        .map((place) => {
          const from = at.get(place) ?? -1n;
          // Nothing committed yet: all that is there waits. What retention removed does not.
          const start = first.get(place) ?? 0n;
          return Number((last.get(place) ?? 0n) - (from > start ? from : start));
        });
      return [group, waiting.reduce((sum, each) => sum + Math.max(0, each), 0)];
    }),
  );
}
