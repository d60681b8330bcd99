// What deploy/docker-compose.yml says, read as compose does: anchors merged, ${NAME:-default} replaced by what the
// shell has not set. Values stay as they are written.

import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { parse } from 'yaml';
import type { Config } from '../../src/main/config.ts';

export type Service = {
  readonly image: string;
  readonly build?: object;
  readonly command?: readonly string[];
  readonly restart?: string;
  readonly profiles?: readonly string[];
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>;
  readonly environment?: Readonly<Record<string, string>>;
  readonly ports?: readonly string[];
  readonly volumes?: readonly string[];
  readonly [key: string]: unknown;
};

export const root = dirname(dirname(import.meta.dirname));
export const textOf = (file: string) => readFileSync(join(root, file), 'utf8');

export function readCompose(env: Readonly<Record<string, string>> = {}): Readonly<Record<string, Service>> {
  const text = textOf('deploy/docker-compose.yml').replaceAll(
    /\$\{(\w+):-([^}]*)\}/g,
    (_, name: string, otherwise: string) => env[name] ?? otherwise,
  );
  return (parse(text, { merge: true }) as { services: Record<string, Service> }).services;
}

// The services that run a role of ours, in any order.
export function rolesOf(services: Readonly<Record<string, Service>>): readonly (readonly [string, Service])[] {
  const built = Object.values(services).find(({ build }) => build !== undefined)?.image;
  return Object.entries(services).filter(([, { image }]) => image === built);
}

// Where a process in a container of its own finds what it works on. What is left out has a default, and would be looked for
// in the container, or played in the process: null, or an address of loopback.
export function addressesOf(run: string, { database, bus, search, partners }: Config): readonly (string | null)[] {
  if (run === 'sandbox') return [];
  if (run === 'migrate') return [database.migrateUrl];
  const brokers = bus.kafka.brokers.map((broker) => `kafka://${broker}`);
  const carriers = { memory: [null], kafka: brokers, redis: [bus.redis.url], sqs: [bus.sqs.endpoint] };
  const searched = search.engine === 'elasticsearch' ? [search.url] : [];
  return [database.url, partners.url, ...searched, ...carriers[bus.kind]];
}

// What the image sets before any of them.
export const imageEnvironment = Object.fromEntries(
  [...textOf('Dockerfile').matchAll(/^ENV (.+)$/gm)].flatMap(([, line = '']) =>
    line.split(' ').map((pair) => pair.split('=', 2)),
  ),
) as Record<string, string>;
