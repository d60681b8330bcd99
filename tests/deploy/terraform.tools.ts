// deploy/terraform as Terraform (or OpenTofu) reads it, with the schema of the provider of AWS: validate, the tests beside
// the code, and what the services would be started with, as the product reads it. Nothing here is applied to AWS. Each
// check must also find a mistake that is planted in a copy.

import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { isLoopback } from '../../src/io/loopback.ts';
import { readCommand } from '../../src/main/arguments.ts';
import { readConfig } from '../../src/main/config.ts';
import { type Ran, run } from '../clients/tools.ts';
import { addressesOf, imageEnvironment, root } from './services.ts';
import { assertFinds, assertPasses, limits, tools, withMistake } from './tools.ts';

const folder = 'deploy/terraform';
const given = {
  TF_VAR_image: 'registry.example.com/orderly:0.1.0',
  TF_VAR_domain_name: 'orders.example.com',
  TF_VAR_certificate_arn: 'arn:aws:acm:eu-central-1:123456789012:certificate/1',
  TF_VAR_database_owner_password: 'planted-owner-password',
  TF_VAR_database_app_password: 'planted-app-password',
  TF_VAR_operator_token: 'planted-operator-token',
  TF_VAR_metrics_token: 'planted-metrics-token',
};
type Container = {
  readonly name: string;
  readonly command?: readonly string[];
  readonly environment: readonly { readonly name: string; readonly value: string }[];
};

describe('the stack on AWS, by Terraform', { timeout: 600_000 }, () => {
  let command = '';
  let settings = '';
  let scratch = '';
  before(async () => {
    scratch = mkdtempSync(join(tmpdir(), 'orderly-terraform-'));
    command = await tools.terraform();
    const provider = await tools.goFolder('terraform-provider-aws', join(import.meta.dirname, 'aws-provider'));
    settings = join(scratch, 'terraformrc');
    const installation = `dev_overrides { "hashicorp/aws" = "${provider}" }\n direct { exclude = ["*/*"] }`;
    writeFileSync(settings, `disable_checkpoint = true\nprovider_installation {\n ${installation}\n}\n`);
  });
  after(() => rmSync(scratch, { recursive: true, force: true }));

  const terraform = async (cwd: string, ...args: readonly string[]): Promise<Ran> =>
    await run(command, args, {
      ...limits,
      cwd,
      env: { ...given, TF_CLI_CONFIG_FILE: settings, TF_IN_AUTOMATION: '1' },
    });
  const own = join(root, folder);

  it('is formatted, and valid with the arguments that the resources of AWS have', async () => {
    assertPasses(await terraform(own, 'fmt', '-check', '-recursive'));
    assertPasses(await terraform(own, 'validate', '-no-color'));
  });

  for (const [what, file, from, to, told] of [
    ['a misspelt argument', 'services.tf', 'desired_count  ', 'desired_cuont  ', /desired_cuont/],
    ['an argument that is missing in a block', 'services.tf', 'subnets          =', 'subnet_ids =', /subnets/],
    ['a required argument that is missing', 'database.tf', /^ {2}instance_class .*$/m, '', /instance_class/],
    [
      'a word where a number belongs',
      'bus.tf',
      'visibility_timeout_seconds = 10',
      'visibility_timeout_seconds = "x"',
      /number/,
    ],
  ] as const) {
    it(`is refused with ${what}`, async () => {
      await withMistake(folder, { file, from, to }, async (copy) =>
        assertFinds(await terraform(copy, 'validate', '-no-color'), told),
      );
    });
  }

  it('does what its tests say, one of which fails where every worker may publish', async () => {
    assertPasses(await terraform(own, 'test', '-no-color'));
    const everybody = { file: 'iam.tf', from: 'role == "relay" ? [{', to: 'true ? [{' };
    await withMistake(folder, everybody, async (copy) =>
      assertFinds(
        await terraform(copy, 'test', '-no-color', '-filter=tests/stack.tftest.hcl'),
        /The relay alone publishes/,
      ),
    );
  });

  it('starts each service with an environment that the product takes, and keeps no secret in the state', async () => {
    const copy = join(scratch, 'stack');
    cpSync(own, copy, { recursive: true });
    // Which zones there are, nobody here knows.
    writeFileSync(join(copy, 'zones_override.tf'), 'locals {\n  zones = { "0" = "a", "1" = "b" }\n}\n');
    assertPasses(await terraform(copy, 'apply', '-auto-approve', '-input=false', '-no-color'));
    const { output } = await terraform(copy, 'show', '-json');
    for (const secret of Object.values(given).filter((value) => value.startsWith('planted-')))
      assert.ok(!output.includes(secret), secret);
    const { resources } = (JSON.parse(output) as Shown).values.root_module;
    const roles = resources
      .filter(({ type }) => type === 'aws_ecs_task_definition')
      .flatMap(({ values }) => JSON.parse(values.container_definitions ?? '[]') as Container[])
      .filter(({ name }) => name === 'orderly' || name === 'migrate');
    assert.equal(roles.length, 10);
    for (const { command: args = [], environment } of roles) {
      const is = readCommand(args);
      assert.ok('run' in is && is.run !== 'help' && is.run !== 'version', args.join(' '));
      const env = { ...imageEnvironment, ...Object.fromEntries(environment.map(({ name, value }) => [name, value])) };
      // Made of what the stand-in for AWS invents, which is no name of a host.
      if (env.DATABASE_URL !== undefined) env.DATABASE_URL = env.DATABASE_URL.replaceAll('_', '-');
      // Amazon's own, which is found without.
      const reading = readConfig({ ...env, AWS_ENDPOINT_URL_SQS: 'https://sqs.example.com' }, is.run);
      assert.ok(reading.ok, `${args.join(' ')}: ${reading.ok ? '' : reading.mistakes.join('\n')}`);
      for (const address of addressesOf(is.run, reading.config))
        assert.ok(address !== null && !isLoopback(new URL(address).hostname), `${args.join(' ')} looks for ${address}`);
    }
  });
});

type Shown = {
  readonly values: {
    readonly root_module: {
      readonly resources: readonly {
        readonly type: string;
        readonly values: { readonly container_definitions?: string };
      }[];
    };
  };
};
