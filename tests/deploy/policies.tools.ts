// The policies of checkov, for the image and for Terraform in one run, as reading them takes longer than applying them: kept
// but for the exceptions in checkov.yml, and found broken where a copy breaks one of each.

import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { run } from '../clients/tools.ts';
import { root } from './services.ts';
import { assertFinds, assertPasses, limits, tools } from './tools.ts';

describe('what is deployed', () => {
  let copy = '';
  beforeEach(() => {
    copy = mkdtempSync(join(tmpdir(), 'orderly-policies-'));
    for (const name of ['Dockerfile', 'deploy/terraform'])
      cpSync(join(root, name), join(copy, name), { recursive: true });
  });
  afterEach(() => rmSync(copy, { recursive: true, force: true }));

  const checkov = async () => {
    const config = ['--config-file', join(import.meta.dirname, 'checkov.yml')];
    const args = [...config, '--framework', 'dockerfile', 'terraform', '--directory', copy];
    return await run(join(await tools.python(), 'checkov'), args, limits);
  };
  const breakIt = (file: string, from: RegExp, to: string) => {
    const path = join(copy, file);
    writeFileSync(path, readFileSync(path, 'utf8').replace(from, to));
  };

  it('keeps the policies of checkov', async () => assertPasses(await checkov()));

  it('is refused where root runs the image, or where the database is not encrypted', async () => {
    breakIt('Dockerfile', /^USER .*$/m, 'USER root');
    breakIt('deploy/terraform/database.tf', /storage_encrypted( +)= true/, 'storage_encrypted$1= false');
    const ran = await checkov();
    assertFinds(ran, /CKV_DOCKER_8\b/);
    assertFinds(ran, /CKV_AWS_16\b/);
  });
});
