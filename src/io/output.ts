// Where logs go: this process's own stdout or stderr, whoever reads it or does not.
//
// Promises: `write` never throws and never waits. A reader that goes away ends nothing: what is written to it
// is dropped. For one that stands still lines are kept up to a bound; those beyond it are dropped and counted,
// and the count is told once it reads again. Ordinary lines are written at once: the last one before a crash
// is there.
// Relies on Node writing to pipes and sockets without blocking; files and terminals take what they get.

import type { Writable } from 'node:stream';

export type Output = { readonly write: (text: string) => void };

// Some thousands of lines: a reader that is restarted finds them, and memory stays flat.
const keptBytesMax = 1_048_576;

// `onDropped` hears how many lines were dropped as soon as there is room again, and may write itself.
export function createOutput(stream: Writable, onDropped: (lines: number) => void): Output {
  surviveReader(stream);
  let dropped = 0;
  return {
    write: (text) => {
      // Told as soon as half of what was kept has been read: not with each line that finds a little room.
      if (dropped > 0 && stream.writableLength < keptBytesMax / 2) {
        const lines = dropped;
        dropped = 0;
        onDropped(lines);
      }
      if (dropped > 0 || stream.writableLength > keptBytesMax) dropped += 1;
      else stream.write(text);
    },
  };
}

const surviving = new WeakSet<Writable>();

// Without a listener the error of a reader that has gone (EPIPE, or EIO of a terminal) would end the process.
export function surviveReader(stream: Writable): void {
  if (surviving.has(stream)) return;
  surviving.add(stream);
  stream.on('error', () => undefined);
}
