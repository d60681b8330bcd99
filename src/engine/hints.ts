// From the messages of a bus to hints.
//
// Promises: never throws and keeps nothing; a message that cannot be read is counted, logged with where it lies, and
// dropped: the truth is in the database, so nothing is lost with it.

import type { Received } from './bus.ts';
import { isUnreadable, readHint } from './envelope.ts';
import type { Hint, Log } from './ports.ts';

// Somebody who writes junk to a topic writes a lot of it: the first of each second are logged, all are counted.
const loggedPerSecond = 5;

export function createHintReader(options: {
  readonly log: Log;
  readonly onUnreadable: (group: string) => void;
  readonly nowMs: () => number;
}) {
  const { log, onUnreadable, nowMs } = options;
  let second = 0;
  let logged = 0;

  function tell(group: string, received: Received, code: string, message: string): void {
    onUnreadable(group);
    const now = Math.floor(nowMs() / 1_000);
    if (now !== second) logged = 0;
    second = now;
    logged += 1;
    if (logged > loggedPerSecond) return;
    log.warn({ group, at: received.at, code, reason: message }, 'a message cannot be read and is dropped');
  }

  return (group: string, hint: (hint: Hint) => void) =>
    (batch: readonly Received[]): void => {
      for (const received of batch) {
        const read = readHint(received.body);
        if (isUnreadable(read)) tell(group, received, read.code, read.message);
        else hint(read);
      }
    };
}
