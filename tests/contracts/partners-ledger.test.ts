// The ledger of the simulated partners on a real disk, with processes that are really killed.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { type Ledger, type NewEntry, openLedger } from '../../src/io/partners/ledger.ts';

const sources = new URL('../../src/', import.meta.url).href;

// Authorizes one order after the other and prints each answer; every tenth order is flaky.
const writer = `
  import { openLedger } from '${sources}io/partners/ledger.ts';
  import { createLocalPartners } from '${sources}io/partners/local.ts';
  import { createStage } from '${sources}io/partners/stage.ts';
  import { createSystem } from '${sources}io/system.ts';
  const ledger = openLedger({ directory: process.argv[1] });
  const { payments } = createLocalPartners({ ledger, stage: createStage(), system: createSystem() });
  const signal = new AbortController().signal;
  for (let order = 0; ; order += 1) {
    const request = { key: 'key-' + order, orderId: 'order-' + order, amount: 100, currency: 'USD', epoch: 0 };
    const scenario = order % 10 === 0 ? 'flaky' : 'success';
    const answer = await payments.authorize({ ...request, scenario }, signal).catch(() => ({ outcome: 'failed' }));
    if (!process.stdout.write([request.key, answer.outcome, answer.authorizationId].join(' ') + '\\n')) {
      await new Promise((resolve) => process.stdout.once('drain', resolve));
    }
  }`;

function startWriter(directory: string) {
  const child = spawn(process.execPath, ['--input-type=module', '--eval', writer, directory], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  return { child, lines: createInterface({ input: child.stdout }) };
}

function authorized(key: string, orderId = 'order'): NewEntry {
  const terms = JSON.stringify({ amount: 100, currency: 'USD' });
  const reference = `authorization-${key}`;
  return {
    partner: 'payments',
    key,
    orderId,
    state: 'authorized',
    reference,
    code: null,
    terms,
    expiresAtMs: 2,
    createdAtMs: 1,
  };
}

describe('ledger', () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'orderly-ledger-'));
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  function withLedger<T>(use: (ledger: Ledger) => T): T {
    const ledger = openLedger({ directory });
    try {
      return use(ledger);
    } finally {
      ledger.close();
    }
  }

  test('every answer that left a killed process is in the ledger, and so are the calls it counted', async () => {
    const { child, lines } = startWriter(directory);
    const answers: string[] = [];
    for await (const line of lines) {
      answers.push(line);
      if (answers.length === 2_000) child.kill('SIGKILL');
    }
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    assert.equal(child.signalCode, 'SIGKILL');

    withLedger((ledger) => {
      for (const [key, outcome, authorizationId] of answers.map((line) => line.split(' '))) {
        // The last line may have been cut off by the kill.
        if (key === undefined || outcome === undefined || authorizationId === undefined) continue;
        const [calls] = ledger.callsOf(key.replace('key', 'order'));
        assert.equal(calls?.calls, 1);
        const entry = ledger.find('payments', key);
        if (outcome === 'failed') assert.equal(entry, null);
        else assert.ok(entry?.reference?.startsWith(authorizationId), key);
      }
    });
  });

  test('a scenario goes on where a killed process left it', async () => {
    for (const killed of [1, 2]) {
      const { child, lines } = startWriter(directory);
      const [first] = (await once(lines, 'line')) as [string];
      child.kill('SIGKILL');
      await once(child, 'exit');
      assert.equal(first.split(' ')[1], 'failed', `start ${killed}`);
    }
    const { child, lines } = startWriter(directory);
    const [third] = (await once(lines, 'line')) as [string];
    child.kill('SIGKILL');
    await once(child, 'exit');
    assert.equal(third.split(' ')[1], 'authorized');
  });

  test('a second process is told that the ledger is in use', () => {
    withLedger(() => assert.throws(() => openLedger({ directory }), /is in use by another process/));
    withLedger(() => {});
  });

  test('pages follow each other without gap or repetition while entries are added', async () => {
    const ledger = openLedger({ directory });
    const add = (from: number, to: number) =>
      ledger.inTurn(() => {
        for (let number = from; number < to; number += 1) ledger.add(authorized(`key-${number}`));
      });
    await add(0, 250);
    const seen: string[] = [];
    let afterPosition = 0;
    for (;;) {
      const page = ledger.entries({ orderId: null, afterPosition, limit: 100 });
      if (page.length === 0) break;
      seen.push(...page.map((entry) => entry.key));
      afterPosition = page.at(-1)?.position ?? 0;
      if (seen.length === 200) await add(250, 300);
    }
    assert.deepEqual(
      seen,
      Array.from({ length: 300 }, (_, number) => `key-${number}`),
    );
    ledger.close();
  });

  test('an entry keeps its place and its terms when its state moves on', async () => {
    const ledger = openLedger({ directory });
    await ledger.inTurn(() => ledger.add(authorized('a')));
    const [before] = ledger.entries({ orderId: 'order', afterPosition: 0, limit: 10 });
    await ledger.inTurn(() => ledger.move('payments', 'a', 'voided', 9));
    const [after] = ledger.entries({ orderId: 'order', afterPosition: 0, limit: 10 });
    assert.deepEqual({ ...after }, { ...before, state: 'voided', changedAtMs: 9 });
    assert.deepEqual(
      ledger.counts().map((each) => ({ ...each })),
      [{ partner: 'payments', state: 'voided', entries: 1 }],
    );
    ledger.close();
  });

  test('calls are counted per second, those that were turned away apart', async () => {
    const ledger = openLedger({ directory });
    await ledger.inTurn(() => {
      ledger.countArrival('authorize', true, 1_000);
      ledger.countArrival('authorize', true, 1_999);
      ledger.countArrival('authorize', false, 1_999);
      ledger.countArrival('authorize', true, 2_000);
    });
    assert.deepEqual(ledger.traffic(1, 2), [
      { second: 1, call: 'authorize', admitted: false, calls: 1 },
      { second: 1, call: 'authorize', admitted: true, calls: 2 },
    ]);
    ledger.close();
  });

  test('work that throws in a shared turn leaves the work of the others in place', async () => {
    const ledger = openLedger({ directory });
    const good = ledger.inTurn(() => ledger.add(authorized('good')));
    const bad = ledger.inTurn(() => ledger.add(authorized('good')));
    await assert.rejects(bad, /UNIQUE/);
    await good;
    assert.equal(ledger.entries({ orderId: null, afterPosition: 0, limit: 10 }).length, 1);
    ledger.close();
  });
});
