// The buses of a test file, or of a suite: closed at its end, also those that a failed test has left open.
//
// Relies on being called where `after` means that end: at the top of a file, or within `describe`.

import { after } from 'node:test';
import type { Bus } from '../../src/engine/bus.ts';

export function closedAfterwards<A extends readonly unknown[], B extends Bus>(open: (...args: A) => B) {
  const opened: B[] = [];
  after(async () => {
    await Promise.all(opened.map((bus) => bus.close()));
  });
  return (...args: A): B => {
    const bus = open(...args);
    opened.push(bus);
    return bus;
  };
}
