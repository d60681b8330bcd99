import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { promisify } from 'node:util';

const module = join(import.meta.dirname, '../../src/io/telemetry/log.ts');

async function linesOf(statement: string): Promise<readonly Record<string, unknown>[]> {
  const script = `const { createLog } = await import('${module}');
    const log = createLog({ level: 'info', role: 'worker', isTerminal: false });
    ${statement}`;
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', script]);
  return stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

describe('the log', () => {
  it('says in each line which service, role, host and process wrote it', async () => {
    const [line] = await linesOf(`log.info({ orderId: 'o-1' }, 'step done');`);
    const { service, role, host, msg, orderId } = line ?? {};
    assert.deepEqual(
      { service, role, host, msg, orderId },
      { service: 'orderly', role: 'worker', host: hostname(), msg: 'step done', orderId: 'o-1' },
    );
    assert.equal(typeof line?.pid, 'number');
  });

  it('blots out what looks like the address of a customer, whoever quotes it, and nothing else', async () => {
    const [first, second] = await linesOf(`
      log.warn({ reason: '550 5.1.1 <ada.lovelace+shop@mail.example>: no such user' }, 'refused');
      log.warn({ url: 'postgres://***@10.0.0.1:5432/orderly', file: 'node_modules/@scope/kafka/a.js' }, 'text');`);
    assert.equal(first?.reason, '550 5.1.1 <***@***>: no such user');
    assert.equal(second?.url, 'postgres://***@10.0.0.1:5432/orderly');
    assert.equal(second?.file, 'node_modules/@scope/kafka/a.js');
  });

  it('tells of an error what tells a defect from another, and not the row that a database quotes', async () => {
    const [line] = await linesOf(`
      const error = Object.assign(new Error('violates check'), { code: '23514', detail: 'Failing row contains (Ada)' });
      log.error({ err: error }, 'failed');`);
    assert.match(JSON.stringify(line), /violates check.*23514/);
    assert.doesNotMatch(JSON.stringify(line), /Ada/);
  });
});
