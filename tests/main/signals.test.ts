import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { onStopSignal } from '../../src/io/signals.ts';

describe('a signal to stop', () => {
  it('that comes twice within a second is one: npm passes on what the terminal has sent already', (test) => {
    const { told, signal, later } = listen(test);
    signal('SIGINT');
    signal('SIGINT');
    later(1_000);
    signal('SIGTERM');
    assert.deepEqual(told, ['stop']);
  });

  it('that comes again later ends the process at once', (test) => {
    for (const again of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
      const { told, signal, later } = listen(test);
      signal('SIGTERM');
      later(1_001);
      signal(again);
      assert.deepEqual(told, ['stop', 'end']);
    }
  });
});

function listen(test: { after: (call: () => void) => void }) {
  const told: string[] = [];
  let nowMs = 0;
  const before = new Map(names.map((name) => [name, process.listeners(name)]));
  const stop = () => void told.push('stop');
  onStopSignal(stop, { monotonicMs: () => nowMs }, () => void told.push('end'));
  const own = names.flatMap((name) =>
    process.listeners(name).flatMap((listener) => (before.get(name)?.includes(listener) ? [] : [{ name, listener }])),
  );
  test.after(() => {
    for (const { name, listener } of own) process.off(name, listener);
  });
  // To this listener alone: the test runner hears signals too.
  const signal = (name: Name) => {
    for (const one of own) if (one.name === name) one.listener(name);
  };
  const later = (ms: number) => {
    nowMs += ms;
  };
  return { told, signal, later };
}

const names = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const;
type Name = (typeof names)[number];
