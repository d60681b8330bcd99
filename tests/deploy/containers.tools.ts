// Image and compose file as others' tools read them: hadolint, the loader of compose itself, promtool. The first two must
// also find mistakes that are planted in a copy.

import assert from 'node:assert/strict';
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { run } from '../clients/tools.ts';
import { root } from './services.ts';
import { assertFinds, assertPasses, limits, tools, withMistake } from './tools.ts';

// The names of the services that it loads for this machine's shell.
async function compose(file: string, env: NodeJS.ProcessEnv = {}) {
  const command = join(await tools.goFolder('compose', join(import.meta.dirname, 'compose')), 'compose');
  return await run(command, [file], { ...limits, env });
}

describe('the Dockerfile', () => {
  const dockerfile = join(root, 'Dockerfile');
  const hadolint = async (file: string) => await run(join(await tools.python(), 'hadolint'), [file], limits);

  it('has nothing that hadolint complains of', async () => {
    assertPasses(await hadolint(dockerfile));
    await withMistake('Dockerfile', { from: 'npm ci', to: 'npm install -g typescript && npm ci' }, async (file) =>
      assertFinds(await hadolint(file), /DL3016/),
    );
  });
});

describe('the compose file', () => {
  const file = 'deploy/docker-compose.yml';
  const servers = ['elasticmq', 'kafka', 'redis'];

  for (const [bus, wanted] of [
    ['kafka', ['kafka', 'redis']],
    ['redis', ['redis']],
    ['sqs', ['elasticmq', 'redis']],
  ] as const) {
    it(`is loaded by compose itself, with the servers of the bus: ${bus}`, async () => {
      const ran = await compose(join(root, file), { BUS: bus });
      assertPasses(ran);
      const services = ran.output.trim().split('\n');
      assert.deepEqual(services.filter((name) => servers.includes(name)).sort(), wanted);
      assert.ok(services.includes('api'));
    });
  }

  it('has the servers alone where no role is asked for', async () => {
    const ran = await compose(join(root, file), { COMPOSE_PROFILES: 'kafka' });
    assertPasses(ran);
    const services = ran.output.trim().split('\n');
    assert.ok(services.includes('kafka') && services.includes('postgres'));
    assert.ok(!services.includes('api'));
  });

  it('is refused with a misspelt key, or with a service that is not there', async () => {
    await withMistake(file, { from: 'depends_on: {}', to: 'depend_on: {}' }, async (copy) =>
      assertFinds(await compose(copy), /depend_on/),
    );
    const from = 'prometheus: { condition: service_started }';
    await withMistake(file, { from, to: 'promeheus: { condition: service_started }' }, async (copy) =>
      assertFinds(await compose(copy), /promeheus/),
    );
  });

  it('gives Prometheus a configuration and rules that it takes', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'orderly-deploy-'));
    try {
      copyFileSync(join(root, 'deploy/compose/prometheus.yml'), join(directory, 'prometheus.yml'));
      copyFileSync(join(root, 'deploy/prometheus/orderly.rules.yml'), join(directory, 'orderly.rules.yml'));
      const promtool = await tools.prometheus('promtool');
      assertPasses(await run(promtool, ['check', 'config', join(directory, 'prometheus.yml')], limits));
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  });
});
