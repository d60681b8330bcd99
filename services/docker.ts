// A server as a container of its official image, published on loopback only.
//
// Promises: a container belongs to one folder of one checkout, by its name; its data is a volume that
// outlives it; an engine that does not run, or cannot have the image, is told apart from a failure.

import { createHash } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { CommandError, runCommand } from './command.ts';
import type { Container, Place } from './server.ts';

export type DockerRun = { readonly container: string; readonly volume: string };

const answerTimeoutMs = 10_000;
// An image of a gigabyte over a slow line.
const pullTimeoutMs = 900_000;
const stopSeconds = 30;

// Null when the engine answers, else why there is none.
export async function whyNoEngine(): Promise<string | null> {
  try {
    await docker(['version', '--format', '{{.Server.Version}}'], answerTimeoutMs);
    return null;
  } catch (error) {
    if (error instanceof CommandError) return error.message;
    throw error;
  }
}

// Null when the image is there afterwards, else why not.
export async function whyNoImage(image: string, say: (text: string) => void): Promise<string | null> {
  try {
    await docker(['image', 'inspect', '--format', '{{.Id}}', image], answerTimeoutMs);
    return null;
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
  }
  try {
    say(`pulls the image ${image}`);
    await docker(['pull', '--quiet', image], pullTimeoutMs);
    return null;
  } catch (error) {
    if (error instanceof CommandError) return error.message;
    throw error;
  }
}

export async function launchContainer(place: Place, wanted: Container): Promise<DockerRun> {
  const owner = createHash('sha256').update(place.directory).digest('hex').slice(0, 12);
  const name = `orderly-${basename(place.directory)}-${owner}`;
  const mounts = ['--volume', `${name}:${wanted.volume}`];
  for (const [path, content] of Object.entries(wanted.files ?? {})) {
    await mkdir(place.directory, { recursive: true });
    const file = join(place.directory, basename(path));
    await writeFile(file, content);
    mounts.push('--volume', `${file}:${path}:ro`);
  }
  const variables = Object.entries(wanted.env ?? {}).flatMap(([key, value]) => ['--env', `${key}=${value}`]);
  const published = ['--publish', `127.0.0.1:${place.port}:${wanted.innerPort}`];
  // What a killed server, or a start that died in the middle, has left.
  await docker(['rm', '--force', name], answerTimeoutMs * 3).catch(() => undefined);
  const options = ['--detach', '--name', name, ...published, ...mounts, ...variables];
  await docker(['run', ...options, wanted.image, ...(wanted.args ?? [])], answerTimeoutMs * 6);
  return { container: name, volume: name };
}

// Null: it does not run. The number is the engine's, which may live in a machine of its own.
export async function pidOfContainer({ container }: DockerRun): Promise<number | null> {
  try {
    const state = await docker(
      ['inspect', '--format', '{{.State.Running}} {{.State.Pid}}', container],
      answerTimeoutMs,
    );
    const [isRunning, pid] = state.trim().split(' ');
    return isRunning === 'true' ? Number(pid) : null;
  } catch (error) {
    if (error instanceof CommandError) return null;
    throw error;
  }
}

export async function endContainer({ container }: DockerRun, how: 'stop' | 'kill'): Promise<void> {
  if (how === 'kill') await docker(['kill', container], answerTimeoutMs * 3);
  else await docker(['stop', '--time', String(stopSeconds), container], (stopSeconds + 30) * 1000);
  await docker(['rm', '--force', container], answerTimeoutMs * 3);
}

export async function tailOfContainer({ container }: DockerRun): Promise<string> {
  return await docker(['logs', '--tail', '30', container], answerTimeoutMs).catch((error: Error) => error.message);
}

async function docker(args: readonly string[], timeoutMs: number): Promise<string> {
  return await runCommand('docker', args, { timeoutMs });
}
