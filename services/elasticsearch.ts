// Elasticsearch: one node of the real server, made of the jars that Maven has of it and a main class of
// ours (services/search-node), which is compiled here by a compiler that is itself a jar.
//
// Promises: listens on loopback only; an answered write survives SIGKILL. The modules that are not
// published as jars are missing: scripts, _reindex, _delete_by_query, ingest, language analyzers, x-pack.

import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { mkdir, readdir, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { Client } from '@elastic/elasticsearch';
import { CommandError, runCommand } from './command.ts';
import { findJava } from './java.ts';
import { fetchJars } from './maven.ts';
import type { Launch, Place, Server } from './server.ts';

const version = '9.5.3';
const compiler = 'ecj-3.46.100.jar';
const oldestJava = 21;
const heap = ['-Xms256m', '-Xmx512m'];
const requestTimeoutMs = 5_000;
const compileTimeoutMs = 120_000;
const sources = join(import.meta.dirname, 'search-node');

export const elasticsearch: Server = {
  name: 'elasticsearch',
  title: `Elasticsearch ${version}`,
  setting: 'ELASTICSEARCH_URL',
  port: 9200,
  spaceMb: 1_000,
  addressOf: (port) => `http://127.0.0.1:${port}`,
  check,
  fromPackages,
  fromDocker: async () => ({
    image: `docker.elastic.co/elasticsearch/elasticsearch:${version}`,
    innerPort: 9200,
    volume: '/usr/share/elasticsearch/data',
    env: {
      ES_JAVA_OPTS: heap.join(' '),
      'discovery.type': 'single-node',
      'xpack.security.enabled': 'false',
      'cluster.routing.allocation.disk.threshold_enabled': 'false',
    },
  }),
};

async function check(node: string, depth: 'read' | 'write'): Promise<void> {
  const client = new Client({ node, maxRetries: 0, requestTimeout: requestTimeoutMs });
  try {
    await client.info();
    if (depth === 'read') return;
    // After a restart the shards open one by one; a search before that is refused.
    await client.cluster.health({ wait_for_status: 'yellow', timeout: '4s' });
    await client.index({ index: 'orderly-check', id: 'check', document: {}, refresh: true });
    await client.search({ index: 'orderly-check' });
    await client.indices.delete({ index: 'orderly-check' });
  } finally {
    await client.close();
  }
}

async function fromPackages(place: Place): Promise<Launch> {
  const java = await findJava(place, elasticsearch.title, oldestJava);
  const home = await fetchJars(place, {
    folder: `elasticsearch-${version}-${fingerprint()}`,
    title: elasticsearch.title,
    sizeMb: 60,
    jars: [
      { id: `org.elasticsearch:elasticsearch:${version}` },
      { id: `org.elasticsearch.plugin:transport-netty4:${version}` },
      // An older JDK's compiler cannot read the server's classes, and a runtime has none.
      { id: 'org.eclipse.jdt:ecj:3.46.100' },
    ],
    finish: (directory) => buildHome(directory, java),
  });
  const data = join(place.directory, 'data');
  const scratch = join(place.directory, 'scratch');
  for (const folder of [data, scratch]) await mkdir(folder, { recursive: true });
  const options = [
    ...heap,
    '-XX:+UseSerialGC',
    '-XX:TieredStopAtLevel=1',
    `-Djava.io.tmpdir=${scratch}`,
    `-Des.nativelibs.path=${join(home, 'native')}`,
    // Not published; without this flag all native access would be off, the system's libzstd included.
    '-Dorg.elasticsearch.nativeaccess.enableVectorLibrary=false',
    '-Dio.netty.noUnsafe=true',
    '-Dorg.apache.logging.log4j.level=INFO',
    '--enable-native-access=ALL-UNNAMED',
  ];
  const classPath = [join(home, 'classes'), join(home, 'lib/*')].join(delimiter);
  const args = [...options, '-cp', classPath, 'SearchNode', home, data, String(place.port)];
  return { command: java, args, cwd: place.directory };
}

// Another source makes another home; a node that runs keeps its own.
function fingerprint(): string {
  const hash = createHash('sha256').update(compiler);
  for (const name of readdirSync(sources).sort()) hash.update(readFileSync(join(sources, name)));
  return hash.digest('hex').slice(0, 12);
}

async function buildHome(home: string, java: string): Promise<void> {
  const [lib, network, root] = [
    join(home, 'lib'),
    join(home, 'modules/transport-netty4'),
    join(home, 'modules/rest-root'),
  ];
  for (const folder of ['classes', 'root', 'config', 'plugins', 'native']) await mkdir(join(home, folder));
  for (const folder of [network, root]) await mkdir(folder, { recursive: true });
  const run = (args: readonly string[]) => runCommand(java, args, { timeoutMs: compileTimeoutMs });
  const compile = ['-jar', join(lib, compiler), `-${oldestJava}`, '-nowarn', '-cp', await classPathOf(lib)];
  const file = (name: string) => join(sources, name);
  await run([...compile, '-d', join(home, 'classes'), file('SearchNode.java'), file('NodeHome.java')]);
  await run([...compile, '-d', join(home, 'root'), file('RootPlugin.java')]);

  const ofNetwork = (await readdir(lib)).filter((name) => /^(?:netty-|transport-netty4-).*\.jar$/.test(name));
  for (const name of ofNetwork) await rename(join(lib, name), join(network, name));
  const descriptor = { name: 'rest-root', description: 'GET / and HEAD /', version: '1' };
  const needs = { classname: 'orderly.search.RootPlugin', 'java.version': '21', 'elasticsearch.version': version };
  const lines = Object.entries({ ...descriptor, ...needs }).map(([name, value]) => `${name}=${value}\n`);
  await writeFile(join(root, 'plugin-descriptor.properties'), lines.join(''));
  await run(['-cp', join(home, 'classes'), 'NodeHome', home]);
  await rm(join(lib, compiler));
  await rm(join(home, 'root'), { recursive: true });

  const zstd = await systemZstd();
  if (zstd !== null) await symlink(zstd, join(home, 'native/libzstd.so'));
}

async function classPathOf(folder: string): Promise<string> {
  const names = (await readdir(folder)).filter((name) => name.endsWith('.jar'));
  return names.map((name) => join(folder, name)).join(delimiter);
}

// The codec best_compression wants it. Null: an index with that codec then refuses writes.
async function systemZstd(): Promise<string | null> {
  const PATH = [process.env.PATH, '/sbin', '/usr/sbin'].join(delimiter);
  try {
    const list = await runCommand('ldconfig', ['-p'], { timeoutMs: compileTimeoutMs, env: { ...process.env, PATH } });
    return /libzstd\.so\.1 .*=> (\S+)/.exec(list)?.[1] ?? null;
  } catch (error) {
    if (error instanceof CommandError) return null;
    throw error;
  }
}
