// A Prometheus with its pages, as Debian has it, scraping every process of this machine's Orderly.
//
// Promises: what is fetched stays in the downloads, nothing is installed; ends with `close`. Relies on apt-get.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { unpackDebian } from '../../services/debian.ts';
import type { Downloads } from '../../services/server.ts';
import type { Guardian } from '../../tests/support/guardian.ts';
import { until } from '../../tests/support/until.ts';
import { toConsole } from './console.ts';

// What its pages are made with; each is a package of its own there.
const packages = [
  'prometheus',
  'libjs-bootstrap4',
  'libjs-d3',
  'libjs-jquery',
  'libjs-rickshaw',
  'libjs-moment',
].concat(
  ['libjs-moment-timezone', 'libjs-mustache', 'libjs-popper.js', 'libjs-eonasdan-bootstrap-datetimepicker'],
  ['libjs-jquery-hotkeys', 'fonts-glyphicons-halflings'],
);
const deploy = join(import.meta.dirname, '../../deploy');
const readyMs = 30_000;

export async function fetchPrometheus({ downloads, say }: Downloads): Promise<string> {
  const directory = join(downloads, 'prometheus-with-pages');
  if (existsSync(directory)) return directory;
  say('fetches Prometheus with apt-get, about 25 MB');
  const unfinished = `${directory}.unfinished`;
  await rm(unfinished, { recursive: true, force: true });
  await mkdir(unfinished, { recursive: true });
  for (const name of packages) await unpackDebian(name, unfinished, { isAlone: true });
  await rename(unfinished, directory);
  return directory;
}

export type Page = { readonly url: string; readonly close: () => Promise<void> };

export async function startPrometheus(options: {
  // Where it was unpacked, and where its data lies.
  readonly from: string;
  readonly directory: string;
  readonly port: number;
  // Ports of 127.0.0.1 with metrics.
  readonly targets: readonly number[];
  readonly guardian: Guardian;
}): Promise<Page> {
  const { from, directory, port, targets, guardian } = options;
  const consoles = join(directory, 'consoles');
  await mkdir(consoles, { recursive: true });
  const read = async (name: string) => JSON.parse(await readFile(join(deploy, 'grafana', `${name}.json`), 'utf8'));
  await writeFile(join(consoles, 'orderly.html'), toConsole([await read('overview'), await read('partners')]));
  const config = join(directory, 'prometheus.yml');
  const addresses = JSON.stringify(targets.map((target) => `127.0.0.1:${target}`));
  await writeFile(
    config,
    `global: { scrape_interval: 2s, evaluation_interval: 2s }
rule_files: [${JSON.stringify(join(deploy, 'prometheus/orderly.rules.yml'))}]
scrape_configs: [{ job_name: orderly, static_configs: [{ targets: ${addresses} }] }]
`,
  );
  const child = spawn(
    join(from, 'usr/bin/prometheus'),
    [
      ...[`--config.file=${config}`, `--storage.tsdb.path=${join(directory, 'data')}`],
      ...[`--web.listen-address=127.0.0.1:${port}`, `--web.local-assets=${join(from, 'usr/share/prometheus/web')}`],
      ...[`--web.console.templates=${consoles}`, `--web.console.libraries=${consoles}`],
    ],
    { stdio: 'ignore' },
  );
  guardian.tell('+', child.pid ?? 0);
  const url = `http://127.0.0.1:${port}`;
  await answers(`${url}/-/ready`, 'Prometheus', readyMs);
  return { url, close: () => endChild(child, guardian) };
}

export const answers = (url: string, what: string, patienceMs: number) =>
  until(async () => (await fetch(url)).ok, `${what} to answer`, { patienceMs });

export async function endChild(child: ChildProcess, guardian: Guardian): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) {
    const ended = once(child, 'exit');
    child.kill('SIGTERM');
    await ended;
  }
  guardian.tell('-', child.pid ?? 0);
}
