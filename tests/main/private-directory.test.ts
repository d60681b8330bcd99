import assert from 'node:assert/strict';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { DirectoryError, lockDirectory } from '../../src/io/directory-lock.ts';
import { openLedger } from '../../src/io/partners/ledger.ts';
import { openEmbedded } from '../../src/main/open-database.ts';
import { StartError } from '../../src/main/start-error.ts';
import { silentLog } from '../support/silent-log.ts';

describe('a data directory', () => {
  const scratch = mkdtempSync(join(tmpdir(), 'orderly-private-'));
  after(() => rmSync(scratch, { recursive: true }));
  const modeOf = (...path: string[]) => (statSync(join(scratch, ...path)).mode & 0o777).toString(8);

  it('is its owner alone, where it is made', () => {
    const directory = join(scratch, 'made/below');
    lockDirectory(directory)();
    openLedger({ directory: join(directory, 'partners') }).close();
    assert.deepEqual(
      [modeOf('made'), modeOf('made/below'), modeOf('made/below/partners'), modeOf('made/below/owner.pid')],
      ['700', '700', '700', '600'],
    );
  });

  it('that an earlier release left open to everybody is closed by the next start', () => {
    const directory = join(scratch, 'old');
    for (const part of ['postgres', 'partners']) mkdirSync(join(directory, part), { recursive: true });
    for (const part of ['', 'postgres', 'partners']) chmodSync(join(directory, part), 0o755);
    for (const file of ['lock.sqlite', 'owner.pid']) writeFileSync(join(directory, file), '');
    lockDirectory(directory)();
    const found = ['', 'postgres', 'partners', 'lock.sqlite', 'owner.pid'].map((part) => modeOf('old', part));
    assert.deepEqual(found, ['700', '700', '700', '600', '600']);
  });

  it('that holds the things of others too stays open to them, and what is ours in it is closed', () => {
    const directory = join(scratch, 'shared');
    for (const part of ['postgres', 'theirs']) mkdirSync(join(directory, part), { recursive: true });
    for (const part of ['', 'postgres', 'theirs']) chmodSync(join(directory, part), 0o755);
    lockDirectory(directory)();
    assert.deepEqual(
      ['', 'postgres', 'theirs'].map((part) => modeOf('shared', part)),
      ['755', '700', '755'],
    );
  });

  it('that cannot be one is told by one sentence, and nothing is waited for', async () => {
    const file = join(scratch, 'file');
    writeFileSync(file, '');
    const dangling = join(scratch, 'dangling');
    symlinkSync(join(scratch, 'nowhere', 'at all'), dangling);
    const cases: [directory: string, expected: RegExp][] = [
      [file, /is no directory, or a link that leads nowhere: set ORDERLY_DATA_DIR/],
      [join(file, 'below'), /is no directory/],
      [dangling, /is no directory, or a link that leads nowhere/],
    ];
    // Where node's own way of making directories never ends.
    if (existsSync('/proc/self')) cases.push(['/proc/orderly/data', /cannot be made there \(ENOENT\)/]);
    for (const [directory, expected] of cases) {
      assert.throws(
        () => lockDirectory(directory),
        (error) => error instanceof DirectoryError && expected.test(error.message),
      );
    }
    const junk = join(scratch, 'junk');
    mkdirSync(junk);
    writeFileSync(join(junk, 'ledger.sqlite'), 'no database at all');
    for (const [directory, expected] of [...cases, [junk, /cannot be used \(file is not a database\)/] as const]) {
      assert.throws(
        () => openLedger({ directory }),
        (error) => error instanceof DirectoryError && expected.test(error.message),
      );
    }
    const broken = join(scratch, 'broken');
    mkdirSync(broken);
    writeFileSync(join(broken, 'postgres'), 'no directory');
    await assert.rejects(openEmbedded(broken, silentLog), (error) => {
      assert.ok(error instanceof StartError);
      assert.match(error.message, /^The embedded database in \S+ cannot be opened \(.+\): see that its disk has space/);
      return true;
    });
  });
});
