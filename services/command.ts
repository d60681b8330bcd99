// Runs a tool of the machine to its end: Maven, pip, apt-get, Docker.
//
// Promises: resolves with what it printed; a tool that is not there is told apart from one that failed; a
// failure carries the lines that explain it, so that one sentence can be made of it.

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);
const outputMax = 16 * 1024 * 1024;

export class CommandError extends Error {
  readonly isMissing: boolean;
  constructor(message: string, isMissing: boolean) {
    super(message);
    this.isMissing = isMissing;
  }
}

export async function runCommand(
  command: string,
  args: readonly string[],
  options: { readonly cwd?: string; readonly timeoutMs: number; readonly env?: NodeJS.ProcessEnv },
): Promise<string> {
  const { timeoutMs, ...others } = options;
  try {
    const { stdout } = await run(command, args, { ...others, timeout: timeoutMs, maxBuffer: outputMax });
    return stdout;
  } catch (error) {
    const { code, killed, stdout, stderr } = error as {
      code?: unknown;
      killed?: boolean;
      stdout?: string;
      stderr?: string;
    };
    if (code === 'ENOENT') throw new CommandError(`${command} is not on the PATH`, true);
    if (killed === true) throw new CommandError(`${command} did not end within ${timeoutMs / 1000} s`, false);
    throw new CommandError(`${command}: ${reasonIn(`${stdout ?? ''}\n${stderr ?? ''}`)}`, false);
  }
}

// The first line that calls itself an error, else the last one.
function reasonIn(output: string): string {
  const lines = output
    .split('\n')
    .map((line) => line.replace(/^\[ERROR\]\s*/, 'ERROR: ').trim())
    .filter((line) => line !== '' && line !== 'ERROR:');
  const found = lines.find((line) => /^(?:error|e:|fatal)\b/i.test(line)) ?? lines.at(-1) ?? 'it failed without a word';
  return found.slice(0, 400);
}
