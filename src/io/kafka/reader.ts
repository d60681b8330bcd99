// One member of a consumer group: reads its partitions and hands over what comes.
//
// Promises: `receive` gets every message of the group's types at least once while broker and group are well; a member
// that is closed in peace has handed over all that it has committed. However a session ends (an error, a lost
// membership, a deleted topic), a new one begins, until `close`. At most one fetch of messages waits in memory.
// A session: topics ensured → joined → reading; the library commits what it has read.
// Process dies: hints that it had read are gone with it; those that were not committed come again elsewhere.

import {
  Consumer,
  type GroupAssignment,
  type GroupOptions,
  MessagesStreamFallbackModes,
  MessagesStreamModes,
} from '@platformatic/kafka';
import type { Bus, Received, Subscription } from '../../engine/bus.ts';
import { nameOf } from '../../engine/envelope.ts';
import type { Outage } from '../../engine/outage.ts';
import type { Log, System } from '../../engine/ports.ts';
import { within } from '../within.ts';
import { clientOptions, type KafkaAccess, refusalOf, retryDelayMs, typeHeader } from './client.ts';
import type { Topics } from './topics.ts';

export type GroupProtocol = 'consumer' | 'classic';

// A broker answers as soon as it has anything; this is how long it waits when it has not, and how long a newly
// assigned partition may wait for the question that is under way.
const fetchWaitMs = 500;
// The library's default of 50 MiB halves the throughput and doubles the memory.
const fetchBytes = 1_048_576;
const batchMax = 128;
// Each commit is a request; after a crash this much comes again.
const commitEveryMs = 250;
// A minute of one question. The library keeps every error of what it repeats: after an hour, gigabytes. With a
// broker that is away its heartbeats do not stall, they wait for a connection.
const attemptsMax = 60_000 / retryDelayMs;
// Between two sessions, doubled while they fail at once.
const pauseMsMin = 250;
const pauseMsMax = 5_000;
// Classic protocol: a dead member is missed after this; with the newer one the broker decides.
const sessionMs = 10_000;
const heartbeatMs = 1_000;
// Leaving the group needs the broker; without an answer the membership lapses by itself.
const leaveMs = 1_000;

// What a group says to one whom it does not count as a member.
const strangers = new Set(['UNKNOWN_MEMBER_ID', 'FENCED_MEMBER_EPOCH', 'FENCED_INSTANCE_ID', 'UNRELEASED_INSTANCE_ID']);
const nothing = Buffer.alloc(0);

type Stream = Awaited<ReturnType<Consumer['consume']>>;

// Ended by us, for a reason that a new session mends.
class SessionEnd extends Error {}

export function readGroup(options: {
  readonly access: KafkaAccess;
  readonly group: string;
  readonly topicNames: readonly string[];
  readonly types: readonly string[];
  readonly topics: Topics;
  readonly protocol: GroupProtocol;
  readonly instanceId: string | null;
  readonly receive: Parameters<Bus['subscribe']>[2];
  readonly system: System;
  readonly log: Log;
  readonly outage: Outage;
}): Subscription {
  const { access, group, topicNames, topics, protocol, instanceId, receive, system, log, outage } = options;
  const names = new Set(options.types.map(nameOf));
  const closing = new AbortController();
  const membership: GroupOptions | { groupProtocol: 'consumer' } =
    protocol === 'consumer'
      ? { groupProtocol: 'consumer' }
      : { sessionTimeout: sessionMs, heartbeatInterval: heartbeatMs, rebalanceTimeout: sessionMs };

  function open(end: (why: string) => void, ending: AbortSignal): Consumer {
    const consumer = new Consumer({
      ...clientOptions(access),
      ...membership,
      ...(instanceId === null ? {} : { groupInstanceId: instanceId }),
      groupId: group,
      autocommit: commitEveryMs,
      // By default the stream is destroyed twelve seconds into an outage, and the membership lapses only later.
      retries: true,
      // The one place where the library shows every failure that it is about to hide by a retry.
      retryDelay: (_client, _operation, attempt, _retries, error) => {
        const reason = refusalOf(error);
        // What breaks because we close it is no outage.
        if (reason === null && !ending.aborted) outage.failed(group, error);
        // The topic was deleted, perhaps created anew: the old one would be asked for, for ever.
        if (reason?.startsWith('UNKNOWN_TOPIC')) end('a topic is gone');
        if (attempt >= attemptsMax) end('the brokers are away');
        return retryDelayMs;
      },
      minBytes: 1,
      maxWaitTime: fetchWaitMs,
      maxBytes: fetchBytes,
      maxBytesPerPartition: fetchBytes,
      highWaterMark: batchMax,
    });
    // A consumer that is closed calls its last heartbeat a success, whatever became of it.
    consumer.on('consumer:heartbeat:end', () => {
      if (ending.aborted) return;
      outage.worked(group);
      // Partitions are assigned by the id of their topic. One that was created anew has an id that the library
      // does not know: it would hold them by heartbeats, under no name, and never read them.
      const isUnknown = ({ topic }: GroupAssignment) => !topicNames.includes(topic);
      if (consumer.assignments?.some(isUnknown)) end('a topic is gone');
    });
    // Frozen for longer than its session, or replaced: the library would go on as a member that is none.
    consumer.on('consumer:heartbeat:error', ({ error }) => {
      if (strangers.has(refusalOf(error) ?? '')) end('the group does not know this member any more');
    });
    consumer.on('consumer:heartbeat:stalled', () => end('heartbeats do not get through'));
    // Emitted when joining again failed; without a listener it would end the process.
    (consumer as NodeJS.EventEmitter).on('error', () => end('the group could not be joined again'));
    return consumer;
  }

  // Settles when the library's join does, which may be never.
  function join(consumer: Consumer): Promise<Stream> {
    const asked = {
      topics: [...topicNames],
      mode: MessagesStreamModes.COMMITTED,
      // A new group reads what there is.
      fallbackMode: MessagesStreamFallbackModes.EARLIEST,
    };
    return new Promise((resolve, reject) => {
      consumer.consume(asked, (error, stream) => {
        // At once: a stream may break before a promise tells of it, which would end the process.
        stream?.on('error', () => {});
        if (stream === undefined) reject(error ?? new Error('the library gave no stream'));
        else resolve(stream);
      });
    });
  }

  // Rejects with what ended it.
  async function session(onReading: () => void): Promise<void> {
    await within({ what: 'the subscription', signal: closing.signal, system }, topics.ensure);
    const ending = new AbortController();
    const { signal } = ending;
    const end = (why: string) => ending.abort(new SessionEnd(why));
    const stop = () => end('the subscription is closed');
    closing.signal.addEventListener('abort', stop, { once: true });
    const consumer = open(end, signal);
    const joining = join(consumer);
    const reader = { isOver: false };
    try {
      const stream = await within({ what: 'joining', signal, system }, () => joining);
      onReading();
      const reading = readAll(stream, signal, reader);
      await within({ what: 'reading', signal, system }, () => reading).catch(async (error) => {
        // A stream that still asks where to begin, perhaps for a topic that is gone, does not end for us.
        await within({ what: 'reading to the end', ms: leaveMs, system }, () => reading).catch(() => {});
        throw error;
      });
    } finally {
      reader.isOver = true;
      closing.signal.removeEventListener('abort', stop);
      await leave(consumer, joining, system);
    }
  }

  async function readAll(stream: Stream, ending: AbortSignal, reader: { readonly isOver: boolean }): Promise<void> {
    const stop = () => {
      // In peace: what was read is handed over, then committed. A topic that is gone must get no commit: its
      // successor would begin in the middle.
      if (!closing.signal.aborted) return void stream.destroy();
      const closed = within({ what: 'closing the stream', ms: leaveMs, system }, () => stream.close());
      closed.catch(() => stream.destroy());
    };
    if (ending.aborted) stop();
    else ending.addEventListener('abort', stop, { once: true });
    let batch: Received[] = [];
    for await (const { topic, partition, offset, headerEntries, value } of stream) {
      if (isRead(headerEntries)) {
        batch.push({ body: value ?? nothing, at: `topic ${topic}, partition ${partition}, offset ${offset}` });
      }
      if (batch.length < batchMax && stream.readableLength > 0) continue;
      if (batch.length > 0 && !reader.isOver) receive(batch);
      batch = [];
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
        await session(() => {
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

// A consumer without its stream would keep its partitions by heartbeats and starve them: leave. One that is closed
// while it joins takes its own closing for a join that worked and joins again, one call inside the other, until the
// stack overflows in a callback of a socket and the process ends. So its connections go first, which ends the join,
// and it is closed when that has settled, however late. Never rejects; what it leaves behind ends by itself.
async function leave(consumer: Consumer, joining: Promise<unknown>, system: System): Promise<void> {
  const settled = joining.then(
    () => true,
    () => true,
  );
  // Under an id the group may count it as a member already, and must hear that it leaves.
  const ms = consumer.memberId === null ? 0 : leaveMs;
  const isSettled = await within({ what: 'joining', ms, system }, () => settled).catch(() => false);
  if (!isSettled) void consumer.connections.close().catch(() => {});
  const leaving = settled.then(() => consumer.close(true));
  await within({ what: 'leaving the group', ms: leaveMs, system }, () => leaving).catch(() => {});
  // What could not be said by now would be repeated for as long as the process lives.
  void consumer.connections.close().catch(() => {});
}
