// The command: `npm start`, `npm run orderly -- ROLE`. Reads the role and the settings, runs the role,
// turns signals into a graceful stop.
//
// Promises: a mistake in role or settings, or anything a reader can mend, is named and exits with 2,
// nothing started; a stop by signal exits with 0 within SHUTDOWN_TIMEOUT_MS, and so does the end of a
// parent that started this as one of its processes, npm included; a second signal ends at once. Whoever
// reads the output may go away: that ends nothing.

import manifest from '../../package.json' with { type: 'json' };
import type { System } from '../engine/ports.ts';
import { DirectoryError } from '../io/directory-lock.ts';
import { surviveReader } from '../io/output.ts';
import { tellReady, whenParentGone } from '../io/parent.ts';
import { makeFilesPrivate } from '../io/private-directory.ts';
import { onStopSignal } from '../io/signals.ts';
import { createSystem } from '../io/system.ts';
import { createLog } from '../io/telemetry/log.ts';
import { readCommand } from './arguments.ts';
import { urlOf } from './ask-api.ts';
import { type Config, npmPid, readEnvironment } from './config.ts';
import { helpText } from './help.ts';
import { StartError } from './start-error.ts';
import { readVerifyOptions, verifyHelp } from './verify-options.ts';
import { warningsOf } from './warnings.ts';

const say = (text: string) => void process.stdout.write(`${text}\n`);
const progressOf = () => (process.stderr.isTTY ? (text: string) => void process.stderr.write(text) : null);
const complain = (text: string) => void process.stderr.write(`${text}\n`);

makeFilesPrivate();
for (const stream of [process.stdout, process.stderr]) surviveReader(stream);
process.exitCode = await main(process.argv.slice(2));
// Who has said why it ends, ends: a connection that is half made would keep it for as long as a server waits.
if (process.exitCode !== 0) process.stderr.write('', () => process.stdout.write('', () => process.exit()));

async function main(args: readonly string[]): Promise<number> {
  const command = readCommand(args);
  if ('mistake' in command) {
    complain(command.mistake);
    return 2;
  }
  if (command.run === 'help') {
    say(helpText());
    return 0;
  }
  if (command.run === 'version') {
    say(`Orderly ${manifest.version} on Node ${process.version}`);
    return 0;
  }
  const reading = readEnvironment(command.run);
  if (!reading.ok) {
    for (const mistake of reading.mistakes) complain(mistake);
    return 2;
  }
  const { config } = reading;
  const system = createSystem();
  const isTerminal = process.stdout.isTTY;
  const role = command.run === 'start --processes' ? 'processes' : command.run;
  const log = createLog({ level: config.logLevel, role, isTerminal });
  const signal = stopSignal(config.shutdownTimeoutMs, command.run === 'verify' ? 2 : 0);
  // What runs on logs them; what ends with an answer keeps it apart from them.
  const isOnce = ['migrate', 'verify', 'reindex', 'show', 'dlq', 'pause', 'resume'].includes(command.run);
  for (const warning of warningsOf(config, command.run)) {
    if (isOnce) complain(`Warning: ${warning}.`);
    else log.warn({}, warning);
  }
  const effective = { version: manifest.version, node: process.version, settings: reading.shown };
  const running = { config, effective, system, log, signal, say, isTerminal };
  try {
    // Each role loads what it needs and no more: half a second of a start would go to what others need.
    switch (command.run) {
      case 'start': {
        const { runStart } = await import('./start.ts');
        await runStart({ ...running, onReady: tellReady });
        break;
      }
      case 'start --processes': {
        const { runProcesses } = await import('./processes.ts');
        await runProcesses({ ...running, scale: command.scale });
        break;
      }
      case 'api':
      case 'relay':
      case 'worker': {
        const { runApart } = await import('./start.ts');
        await runApart(command, { ...running, onReady: tellReady });
        break;
      }
      case 'migrate': {
        const { runMigrate } = await import('./migrate.ts');
        await runMigrate(config, log, say);
        break;
      }
      case 'verify':
        return await verify(config, command.given, system, signal);
      case 'reindex': {
        const { runReindex } = await import('./reindex.ts');
        return (await runReindex(config, { ...running, progress: progressOf() })) === 'ok' ? 0 : 1;
      }
      case 'show': {
        const { runShow } = await import('./show.ts');
        const token = config.http.operators[0]?.token ?? null;
        await runShow({ order: command.order, url: urlOf(config.http), token, system, say });
        break;
      }
      case 'dlq':
      case 'pause':
      case 'resume': {
        const { runOperate } = await import('./operate.ts');
        const token = config.http.operators[0]?.token ?? null;
        await runOperate({ command, url: urlOf(config.http), token, system, signal, say });
        break;
      }
      case 'sandbox': {
        const { runSandbox } = await import('./sandbox.ts');
        await runSandbox({
          dataDir: config.dataDir,
          host: config.http.host,
          allowedHosts: config.http.allowedHosts,
          port: config.partners.sandboxPort,
          effective,
          log,
          system,
          signal,
          onReady: tellReady,
        });
        break;
      }
    }
    return 0;
  } catch (error) {
    if (isMendable(error)) complain(error.message);
    else log.fatal({ err: error }, 'Orderly ended because of a defect; nothing that was accepted is lost');
    return isMendable(error) ? 2 : 1;
  }

  // 1 says that something is violated, and nothing else does.
  async function verify(config: Config, given: readonly string[], system: System, signal: AbortSignal) {
    const options = readVerifyOptions(given, system.now());
    if (options === 'help') {
      say(verifyHelp());
      return 0;
    }
    const { runVerify } = await import('./verify.ts');
    try {
      return (await runVerify(config, options, { system, signal, progress: progressOf(), say })) === 'ok' ? 0 : 1;
    } catch (error) {
      if (isMendable(error)) throw error;
      throw new StartError(`The check broke off, and there is no verdict: ${(error as Error).message}.`);
    }
  }

  function stopSignal(timeoutMs: number, exitCode: number): AbortSignal {
    const controller = new AbortController();
    const stop = () => {
      if (controller.signal.aborted) return;
      controller.abort();
      // What is not done by then is left to its lease; the promise to the platform counts more.
      system.after(timeoutMs - 250, () => process.exit(exitCode));
    };
    onStopSignal(stop, system);
    whenParentGone(stop, { npmPid: npmPid(), system });
    return controller.signal;
  }
}

function isMendable(error: unknown): error is Error {
  return error instanceof StartError || error instanceof DirectoryError;
}
