// The sandbox role: payment provider, carrier and mail over HTTP, with a durable ledger of their own.
//
// Promises: resolves when the signal has aborted and everything is closed; a port or a ledger that is
// taken rejects before anything is served.

import { join } from 'node:path';
import type { Log, System } from '../engine/ports.ts';
import { createGate } from '../io/gate.ts';
import { openLedger } from '../io/partners/ledger.ts';
import { createSandboxServer } from '../io/partners/server.ts';
import { createStage } from '../io/partners/stage.ts';
import { cannotListen } from './start-error.ts';

export type SandboxOptions = {
  readonly dataDir: string;
  readonly host: string;
  readonly allowedHosts: readonly string[];
  readonly port: number;
  // Version and settings, for the log.
  readonly effective?: object;
  readonly log: Log;
  readonly system: System;
  readonly signal: AbortSignal;
  readonly onReady?: (url: string) => void;
};

export async function runSandbox(options: SandboxOptions): Promise<void> {
  const { dataDir, host, allowedHosts, port, effective, log, system, signal, onReady = () => {} } = options;
  const ledger = openLedger({ directory: join(dataDir, 'partners') });
  try {
    const server = createSandboxServer({
      ledger,
      stage: createStage(),
      system,
      log,
      gate: createGate({ host, allowedHosts }),
    });
    const url = await server.listen({ host, port }).catch((error) => {
      throw cannotListen(error, { host, port, setting: 'SANDBOX_PORT' });
    });
    log.info({ ...effective, url }, 'The simulated partners are listening');
    onReady(url);
    if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
    await server.close();
    log.info({}, 'stopped');
  } finally {
    ledger.close();
  }
}
