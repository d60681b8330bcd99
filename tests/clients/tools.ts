// The tools of others that judge what Orderly publishes, each from its own registry by its ordinary client, in a folder
// of .orderly: npm packages by a lock file, Python packages in an environment of their own, Prometheus and promtool as a
// package of Debian, others built with Go.
//
// Promises: a folder appears under its name only when it is complete; its name holds what it was made from, so that
// a change of versions is a new folder. What the machine lacks is one sentence.

import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { cp, mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CommandError } from '../../services/command.ts';
import { unpackDebian } from '../../services/debian.ts';
import { inTurn } from '../../services/turns.ts';

const prometheusVersion = 'v0.316.0';
// The Go sources of Prometheus are the largest: minutes on two cores.
const installTimeoutMs = 900_000;

export class ToolError extends Error {}

export type Ran = { readonly code: number | null; readonly output: string };

// Runs a command to its end, or to the end of its time; its words are in the order in which it said them.
export async function run(
  command: string,
  args: readonly string[],
  options: {
    readonly cwd?: string;
    readonly env?: NodeJS.ProcessEnv;
    readonly timeoutMs: number;
    readonly input?: string;
  },
): Promise<Ran> {
  const { cwd, env, timeoutMs, input = '' } = options;
  const child = spawn(command, args, {
    ...(cwd === undefined ? {} : { cwd }),
    env: { ...process.env, ...env },
    timeout: timeoutMs,
    killSignal: 'SIGKILL',
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => (output += text));
  // Whoever ends without reading its input has said why.
  child.stdin.on('error', () => undefined).end(input);
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, output: code === null ? `${output}\nIt did not end within ${timeoutMs / 1_000} s.` : output };
}

async function succeed(command: string, args: readonly string[], options: Parameters<typeof run>[2], advice: string) {
  const { code, output } = await run(command, args, options).catch((error: Error) => ({
    code: 1,
    output: error.message,
  }));
  if (code !== 0) throw new ToolError(`${advice}\n${command} ${args.join(' ')}\n${output}`);
}

// Libraries and the list of fonts are looked for where the packages were unpacked.
const chromiumScript = `#!/bin/sh
here=$(dirname "$(readlink -f "$0")")
export LD_LIBRARY_PATH="$(echo "$here"/usr/lib/*-linux-gnu | tr ' ' :):$here/usr/lib/chromium"
[ -e /etc/fonts/fonts.conf ] || export FONTCONFIG_PATH="$here/etc/fonts"
exec "$here/usr/lib/chromium/chromium" "$@"
`;

const versionOf = (...files: string[]) => {
  const hash = createHash('sha256');
  for (const file of files) hash.update(readFileSync(file));
  return hash.digest('hex').slice(0, 12);
};

async function folder(directory: string, make: (unfinished: string) => Promise<void>): Promise<string> {
  return await inTurn(
    `${directory}.lock`,
    () => undefined,
    async () => {
      if (existsSync(directory)) return directory;
      const unfinished = `${directory}.unfinished`;
      await rm(unfinished, { recursive: true, force: true });
      await mkdir(unfinished, { recursive: true });
      await make(unfinished);
      await rename(unfinished, directory);
      return directory;
    },
  );
}

// `lists`: the folder that says which packages of npm (npm/package.json) and Python (requirements.txt).
export function createTools(downloads: string, lists = import.meta.dirname) {
  const npm = join(lists, 'npm');
  const requirements = join(lists, 'requirements.txt');
  const limits = { timeoutMs: installTimeoutMs };
  const goInstall = async (
    name: string,
    version: string,
    args: readonly string[],
    cwd: string | null,
    advice: string,
  ) =>
    await folder(join(downloads, `${name}-${version}`), async (target) => {
      const env = { GOBIN: target, GOTOOLCHAIN: 'auto' };
      await succeed('go', ['install', ...args], { ...limits, env, ...(cwd === null ? {} : { cwd }) }, advice);
    });

  return {
    // The folder of the command that a folder of ours with a go.mod is; it has the name of the module's last part.
    goFolder: (name: string, directory: string) => {
      const files = readdirSync(directory).map((file) => join(directory, file));
      return goInstall(name, versionOf(...files), ['.'], directory, `${name} cannot be built: Go is needed.`);
    },

    // The machine's own.
    terraform: async () => {
      for (const name of ['terraform', 'tofu']) {
        const own = await run(name, ['version'], { timeoutMs: 10_000 }).catch(() => null);
        if (own?.code === 0) return name;
      }
      throw new ToolError('There is neither Terraform nor OpenTofu: install one of them, 1.11 or newer.');
    },

    // The folder whose node_modules has the packages.
    npm: () =>
      folder(
        join(downloads, `npm-${versionOf(join(npm, 'package.json'), join(npm, 'package-lock.json'))}`),
        async (cwd) => {
          await cp(npm, cwd, { recursive: true });
          const args = ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
          await succeed('npm', args, { ...limits, cwd }, 'The npm packages of the tools cannot be installed.');
        },
      ),

    // The folder of the commands. Paths are written into them, so the environment is made where it stays.
    python: async () => {
      const environment = join(downloads, `python-${versionOf(requirements)}`);
      await folder(`${environment}.made`, async () => {
        await rm(environment, { recursive: true, force: true });
        const advice = 'The Python tools cannot be installed: Python 3.10 or newer with venv is needed.';
        await succeed('python3', ['-m', 'venv', environment], limits, advice);
        // Most of what is installed is never loaded, so nothing is compiled ahead.
        const install = [
          'install',
          '--quiet',
          '--no-compile',
          '--disable-pip-version-check',
          '--requirement',
          requirements,
        ];
        await succeed(join(environment, 'bin/pip'), install, limits, advice);
      });
      return join(environment, 'bin');
    },

    // The command: the machine's own browser, or that of Debian's package with the libraries that the machine lacks.
    chromium: async () => {
      for (const name of ['chromium', 'chromium-browser', 'google-chrome']) {
        const place = await run('which', [name], { timeoutMs: 10_000 }).catch(() => null);
        if (place?.code === 0) return place.output.trim();
      }
      const unpacked = await folder(join(downloads, 'chromium-debian'), async (target) => {
        await unpackDebian('chromium', target, { isAlone: false });
        await writeFile(join(target, 'chromium.sh'), chromiumScript, { mode: 0o755 });
      }).catch((error) => {
        if (!(error instanceof CommandError)) throw error;
        throw new ToolError(`There is no browser: install Chromium (the Debian package chromium). ${error.message}`);
      });
      return join(unpacked, 'chromium.sh');
    },

    // The command: the machine's own, one of Debian's package, or one made from its sources, which takes minutes.
    prometheus: async (name: 'promtool' | 'prometheus') => {
      const own = await run(name, ['--version'], { timeoutMs: 10_000 }).catch(() => null);
      if (own?.code === 0) return name;
      const unpacked = await folder(join(downloads, 'prometheus-debian'), async (target) =>
        unpackDebian('prometheus', target, { isAlone: true }),
      ).catch((error) => {
        if (error instanceof CommandError) return null;
        throw error;
      });
      if (unpacked !== null) return join(unpacked, 'usr/bin', name);
      const module = `github.com/prometheus/prometheus/cmd/${name}@${prometheusVersion}`;
      const advice = `${name} cannot be had: install it (the Debian package prometheus), or Go to build it.`;
      return join(await goInstall(name, prometheusVersion, [module], null, advice), name);
    },
  };
}
