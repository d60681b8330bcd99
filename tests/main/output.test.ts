import assert from 'node:assert/strict';
import { Writable } from 'node:stream';
import { describe, it } from 'node:test';
import { createOutput } from '../../src/io/output.ts';

const line = `${'x'.repeat(1_023)}\n`;
const mebibyte = 1_024;

describe('the output of a process', () => {
  it('keeps some lines for a reader that stands still, drops the others, and counts them', async () => {
    const { stream, read, lines } = createReader();
    const output = createOutput(stream, (dropped) => output.write(`${dropped} dropped\n`));
    for (let n = 0; n < 3 * mebibyte; n += 1) output.write(line);
    const kept = stream.writableLength;
    assert.ok(kept <= (mebibyte + 2) * line.length, `${kept} bytes are kept`);
    await read();
    output.write('after\n');
    await read();
    const whole = lines.filter((one) => one === line).length;
    assert.deepEqual(lines.slice(whole), [`${3 * mebibyte - whole} dropped\n`, 'after\n']);
  });

  it('goes on without a reader that has gone', async () => {
    const stream = new Writable({
      write: (_chunk, _encoding, done) => done(Object.assign(new Error('write EPIPE'), { code: 'EPIPE' })),
    });
    const output = createOutput(stream, () => assert.fail('nothing was dropped for want of room'));
    output.write(line);
    await new Promise((resolve) => stream.once('close', resolve));
    output.write(line);
  });
});

// A reader that reads when it is told to, and then everything.
function createReader() {
  const lines: string[] = [];
  let taken: (() => void) | null = null;
  const stream = new Writable({
    decodeStrings: false,
    write: (chunk: string, _encoding, done) => {
      lines.push(chunk);
      taken = done;
    },
  });
  const read = async () => {
    for (; stream.writableLength > 0; await Promise.resolve()) {
      const next = taken;
      taken = null;
      next?.();
    }
  };
  return { stream, read, lines };
}
