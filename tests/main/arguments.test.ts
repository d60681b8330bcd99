import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { allConsumers, readCommand } from '../../src/main/arguments.ts';

describe('the command line', () => {
  it('of nothing asks for help', () => {
    for (const args of [[], ['help'], ['--help'], ['-h']]) assert.deepEqual(readCommand(args), { run: 'help' });
  });

  it('says what it is, and how it is used after any role', () => {
    for (const word of ['--version', '-v', 'version']) assert.deepEqual(readCommand([word]), { run: 'version' });
    for (const role of ['start', 'api', 'relay', 'worker', 'migrate', 'sandbox', 'reindex', 'show']) {
      for (const word of ['--help', '-h']) assert.deepEqual(readCommand([role, word]), { run: 'help' }, role);
    }
    assert.deepEqual(readCommand(['worker', 'payment', '--help']), { run: 'help' });
    assert.deepEqual(readCommand(['show', 'some-id']), { run: 'show', order: 'some-id' });
    for (const args of [['show'], ['show', 'a', 'b']]) assert.match(mistakeIn(...args), /show ORDER/);
  });

  it('names a role, and what is no role is answered with the one that was meant', () => {
    for (const run of ['start', 'api', 'relay', 'migrate', 'sandbox'] as const)
      assert.deepEqual(readCommand([run]), { run });
    assert.match(mistakeIn('strat'), /^"strat" is no role: use one of start, api, .*; did you mean start\?\.$/);
    assert.match(mistakeIn('api', 'now'), /^"api now" is no role/);
  });

  it('lets a worker have all consumers or some, each once', () => {
    assert.deepEqual(readCommand(['worker']), { run: 'worker', consumers: allConsumers });
    assert.deepEqual(readCommand(['worker', 'payment', 'fulfillment', 'payment']), {
      run: 'worker',
      consumers: ['payment', 'fulfillment'],
    });
    assert.match(
      mistakeIn('worker', 'payments'),
      /^"payments" is no consumer: use payment, .*; did you mean payment\?\.$/,
    );
  });

  it('says how many processes of a name there are', () => {
    const scaleOf = (...options: string[]) => readCommand(['start', '--processes', ...options]);
    assert.deepEqual(scaleOf(), { run: 'start --processes', scale: new Map() });
    assert.deepEqual(scaleOf('--scale', 'payment=3,relay=2', '--scale', 'fulfillment=0'), {
      run: 'start --processes',
      scale: new Map(Object.entries({ payment: 3, relay: 2, fulfillment: 0 })),
    });
    for (const wrong of [
      ['--scale'],
      ['--scale', 'api=2'],
      ['--scale', 'payment'],
      ['--scale', 'payment=99'],
      ['--x'],
    ]) {
      assert.match(mistakeIn('start', '--processes', ...wrong), /^".*\.$/);
    }
  });
});

function mistakeIn(...args: string[]): string {
  const command = readCommand(args);
  assert.ok('mistake' in command, JSON.stringify(command));
  return command.mistake;
}
