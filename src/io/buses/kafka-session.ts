// The two ends of a consumer of the library: how it joins its group, and how it is left behind.
//
// Promises: a stream never breaks unheard, which would end the process; `leave` resolves within bounded
// time, never rejects, and what it leaves behind ends by itself.
// Relies on: a consumer without connections gives up whatever it repeats otherwise for ever.

import type { Consumer } from '@platformatic/kafka';
import { MessagesStreamFallbackModes, MessagesStreamModes } from '@platformatic/kafka';
import type { System } from '../../engine/ports.ts';
import { bounded } from './bounded.ts';

// Leaving the group needs the broker; without an answer the session lapses by itself.
export const leaveMs = 1_000;

export type Stream = Awaited<ReturnType<Consumer['consume']>>;

// Settles when the library's join does, which may be never; it rejects when that throws, too.
export function join(consumer: Consumer, topicNames: readonly string[]): Promise<Stream> {
  return new Promise((resolve, reject) => {
    const options = {
      topics: [...topicNames],
      mode: MessagesStreamModes.COMMITTED,
      // A new group reads what there is: most of it is answered already, and nothing is left out.
      fallbackMode: MessagesStreamFallbackModes.EARLIEST,
    };
    consumer.consume(options, (error, stream) => {
      // At once: a stream may break before a promise tells of it. Whoever reads it sees the error as well.
      stream?.on('error', () => {});
      if (stream === undefined) reject(error ?? new Error('the library gave no stream'));
      else resolve(stream);
    });
  });
}

// A consumer that is closed while it joins takes its own closing for a join that worked and joins again, one
// call inside the other, until the stack overflows in a callback of a socket and the process ends. So its
// connections go first, which ends the join, and it is closed when that has settled, however late.
export async function leave(consumer: Consumer, joining: Promise<unknown>, system: System): Promise<void> {
  const settled = joining.then(
    () => true,
    () => true,
  );
  // Under an id the group may count it as a member already, and must hear that it leaves.
  const joinMs = consumer.memberId === null ? 0 : leaveMs;
  const isSettled = await bounded(settled, { ms: joinMs, what: 'joining', system }).catch(() => false);
  if (!isSettled) void consumer.connections.close().catch(() => {});
  const leaving = settled.then(() => consumer.close(true));
  await bounded(leaving, { ms: leaveMs, what: 'leaving the group', system }).catch(() => {});
  // What could not be said by now would be repeated for as long as the process lives.
  void consumer.connections.close().catch(() => {});
}
