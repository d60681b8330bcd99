// One member of a consumer group: reads its partitions, hands them over by lanes, commits behind them.
//
// Promises: messages come at least once, whatever happens to the broker, the group or this session; an
// offset is committed only behind batches that were taken. However a session ends (an error, a lost
// membership, a deleted topic), a new one begins, until `close`.
// A session: topics ensured → joined → reading. Nothing of it survives into the next but what is under way.
// Relies on readers that dedupe: after each rebalance some messages come twice.

import { Consumer, type GroupAssignment, type GroupOptions } from '@platformatic/kafka';
import { nameOf } from '../../engine/envelope.ts';
import type { Log, Received, Subscription, System } from '../../engine/ports.ts';
import { bounded } from './bounded.ts';
import { clientOptions, type KafkaAccess, refusalOf, retryDelayMs } from './kafka-client.ts';
import { createCommitter } from './kafka-commit.ts';
import { createLanes } from './kafka-lanes.ts';
import { join, leave, leaveMs, type Stream } from './kafka-session.ts';
import type { Topics } from './kafka-topics.ts';
import type { Outage } from './outage.ts';

export type GroupProtocol = 'consumer' | 'classic';

// A broker answers as soon as it has anything; this is how long it waits when it has not, and how long a
// newly assigned partition may wait for the question that is under way.
const fetchWaitMs = 200;
// The library's default of 50 MiB halves the throughput and doubles the memory.
const fetchBytes = 1_048_576;
// Messages that the stream reads ahead of the lanes.
const readAheadMax = 256;
// A minute of one question. The library keeps every error of what it repeats: after an hour, gigabytes. With a
// broker that is away its heartbeats do not stall, they wait for a connection.
const attemptsMax = 60_000 / retryDelayMs;
// Between two sessions, doubled while they fail at once.
const pauseMsMin = 250;
const pauseMsMax = 5_000;
// Classic protocol: a dead member is missed after this; with the newer one the broker decides.
const sessionMs = 10_000;
const heartbeatMs = 1_000;

// What a group says to one whom it does not count as a member.
const strangers = new Set(['UNKNOWN_MEMBER_ID', 'FENCED_MEMBER_EPOCH', 'FENCED_INSTANCE_ID', 'UNRELEASED_INSTANCE_ID']);
const typeHeader = Buffer.from('ce_type');
const nothing = Buffer.alloc(0);

// Ended by us, for a reason that a new session mends.
class SessionEnd extends Error {}

export function createMember(options: {
  readonly access: KafkaAccess;
  readonly group: string;
  readonly topicNames: readonly string[];
  readonly types: readonly string[];
  readonly topics: Topics;
  readonly protocol: GroupProtocol;
  readonly instanceId: string | null;
  readonly receive: (batch: readonly Received[]) => Promise<void>;
  readonly system: System;
  readonly log: Log;
  readonly outage: Outage;
}): Subscription {
  const { access, group, topicNames, topics, protocol, instanceId, receive, system, log, outage } = options;
  const names = new Set(options.types.map(nameOf));
  const closing = new AbortController();
  let session: Session | null = null;
  const lanes = createLanes({
    receive,
    onMoved: () => session?.commitSoon(),
    onDropped: () => session?.end('what was left behind is read again'),
    system,
    log,
  });

  const membership: GroupOptions | { groupProtocol: 'consumer' } =
    protocol === 'consumer'
      ? { groupProtocol: 'consumer' }
      : { sessionTimeout: sessionMs, heartbeatInterval: heartbeatMs, rebalanceTimeout: sessionMs };

  function openConsumer(endSession: (why: string) => void, ending: AbortSignal): Consumer {
    const endWithoutTopic = () => {
      // Places in the topic that was, committed now, would let its successor begin in the middle.
      lanes.reset();
      endSession('a topic is gone');
    };
    const consumer = new Consumer({
      ...clientOptions(access),
      ...membership,
      ...(instanceId === null ? {} : { groupInstanceId: instanceId }),
      groupId: group,
      autocommit: false,
      // By default the stream is destroyed twelve seconds into an outage, and nothing reads again.
      retries: true,
      // The one place where the library shows every failure that it is about to hide by a retry.
      retryDelay: (_client, _operation, attempt, _retries, error) => {
        const reason = refusalOf(error);
        // What breaks because we close it is no outage.
        if (reason === null && !ending.aborted) outage.failed(group, error);
        // The topic was deleted, perhaps created anew: the old one would be asked for, for ever.
        if (reason?.startsWith('UNKNOWN_TOPIC')) endWithoutTopic();
        if (attempt >= attemptsMax) endSession('the brokers are away');
        return retryDelayMs;
      },
      minBytes: 1,
      maxWaitTime: fetchWaitMs,
      maxBytes: fetchBytes,
      maxBytesPerPartition: fetchBytes,
      highWaterMark: readAheadMax,
    });
    // A consumer that is closed calls its last heartbeat a success, whatever became of it.
    consumer.on('consumer:heartbeat:end', () => {
      if (ending.aborted) return;
      outage.worked(group);
      // Partitions are assigned by the id of their topic. One that was created anew has an id that the library
      // does not know: it would hold them by heartbeats, under no name, and never read them.
      const isUnknown = ({ topic }: GroupAssignment) => !topicNames.includes(topic);
      if (consumer.assignments?.some(isUnknown)) endWithoutTopic();
    });
    // Frozen for longer than its session, or replaced: the library would go on as a member that is none.
    consumer.on('consumer:heartbeat:error', ({ error }) => {
      if (strangers.has(refusalOf(error) ?? '')) endSession('the group does not know this member any more');
    });
    consumer.on('consumer:heartbeat:stalled', () => endSession('heartbeats do not get through'));
    // Emitted when joining again failed; without a listener it would end the process.
    (consumer as NodeJS.EventEmitter).on('error', () => endSession('the group could not be joined again'));
    return consumer;
  }

  type Session = { readonly end: (why: string) => void; readonly commitSoon: () => void };

  // Rejects with what ended it.
  async function runSession(onReading: () => void): Promise<void> {
    await topics.ensure(topicNames, closing.signal);
    const ending = new AbortController();
    const end = (why: string) => ending.abort(new SessionEnd(why));
    const consumer = openConsumer(end, ending.signal);
    const isOutage = () => outage.isBroken(group);
    const committer = createCommitter({ consumer, lanes, group, isOutage, endSession: end, system, log });
    const stop = () => end('the subscription is closed');
    closing.signal.addEventListener('abort', stop, { once: true });
    session = { end, commitSoon: committer.soon };
    const joining = join(consumer, topicNames);
    let reading = Promise.resolve();
    try {
      const stream = await untilAborted(joining, ending.signal);
      onReading();
      reading = readAll(stream, ending.signal);
      await untilAborted(reading, ending.signal);
    } finally {
      closing.signal.removeEventListener('abort', stop);
      // A stream that still asks where to begin, perhaps for a topic that is gone, does not end for us.
      await bounded(reading, { ms: leaveMs, what: 'reading to the end', system }).catch(() => {});
      // What is under way may still be taken before we leave, if we leave in peace.
      if (closing.signal.aborted) await lanes.stop();
      session = null;
      await bounded(committer.now(), { ms: leaveMs, what: 'the last commit', system }).catch(() => {});
      committer.stop();
      lanes.reset();
      // A consumer without its stream would keep its partitions by heartbeats and starve them: leave.
      await leave(consumer, joining, system);
    }
  }

  // Resolves when the stream was ended, rejects when it broke. Ended by us it is closed and read to its
  // end: leaving the loop early makes the library's close fail.
  async function readAll(stream: Stream, ending: AbortSignal): Promise<void> {
    const close = () => {
      void bounded(
        Promise.try(() => stream.close()),
        { ms: leaveMs, what: 'closing the stream', system },
      ).catch(() => stream.destroy());
    };
    if (ending.aborted) close();
    else ending.addEventListener('abort', close, { once: true });
    for await (const { topic, partition, offset, leaderEpoch, headerEntries, value } of stream) {
      if (ending.aborted) continue;
      await lanes.room(ending);
      if (ending.aborted) continue;
      lanes.accept({ topic, partition, offset, leaderEpoch, body: isRead(headerEntries) ? (value ?? nothing) : null });
    }
    ending.throwIfAborted();
    throw new Error('the stream ended by itself');
  }

  // The type in the header only says what need not be read; without one, the body must tell.
  function isRead(headers: readonly (readonly [Buffer, Buffer])[]): boolean {
    const type = headers.find(([name]) => typeHeader.equals(name))?.[1];
    return type === undefined || names.has(nameOf(type.toString()));
  }

  async function run(): Promise<void> {
    let failures = 0;
    while (!closing.signal.aborted) {
      try {
        await runSession(() => {
          failures = 0;
        });
      } catch (error) {
        if (closing.signal.aborted) break;
        failures += 1;
        topics.forget();
        if (error instanceof SessionEnd) log.info({ group, why: error.message }, 'reading from Kafka begins anew');
        else outage.failed(group, error);
      }
      const pauseMs = Math.min(pauseMsMax, pauseMsMin * 2 ** Math.min(failures, 10));
      await system.sleep(pauseMs * (0.5 + system.random() / 2), closing.signal);
    }
    await lanes.stop();
  }

  const running = run();
  return {
    close: async () => {
      closing.abort();
      await running;
      outage.left(group);
    },
  };
}

// The library joins for as long as it takes; what comes of it after we gave up is closed with its consumer.
function untilAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    if (signal.aborted) abort();
    else signal.addEventListener('abort', abort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}
