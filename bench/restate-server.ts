// The server of Restate for its peer: its binary comes from npm, its store lies in a directory of its own.
//
// Promises: listens on loopback only and tells nobody about itself; runs from the first `wipe` on; `close` ends it and removes its store, and so
// does the end of this process.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findPort } from '../tests/support/process.ts';
import { until } from '../tests/support/until.ts';

const readyMs = 60_000;

export async function openRestate(packages: string) {
  const binary = join(packages, `@restatedev/restate-server-${process.platform}-${process.arch}/bin/restate-server`);
  if (!existsSync(binary)) throw new Error(`Restate has no server for ${process.platform} on ${process.arch}.`);
  const directory = mkdtempSync(join(tmpdir(), 'orderly-restate-'));
  const [node, ingress, admin, service] = [await findPort(), await findPort(), await findPort(), await findPort()];
  const env = {
    RESTATE_DISABLE_TELEMETRY: 'true',
    RESTATE_BASE_DIR: join(directory, 'data'),
    RESTATE_NODE_NAME: 'bench',
    RESTATE_LISTEN_MODE: 'tcp',
    RESTATE_BIND_ADDRESS: `127.0.0.1:${node}`,
    RESTATE_INGRESS__BIND_ADDRESS: `127.0.0.1:${ingress}`,
    RESTATE_ADMIN__BIND_ADDRESS: `127.0.0.1:${admin}`,
  };
  let server: ChildProcess | null = null;
  const kill = () => {
    server?.kill('SIGKILL');
    rmSync(directory, { recursive: true, force: true });
  };
  process.once('exit', kill);

  const end = async () => {
    if (server !== null && server.exitCode === null && server.signalCode === null) {
      const gone = once(server, 'exit');
      kill();
      await gone;
    }
    rmSync(directory, { recursive: true, force: true });
  };
  const start = async () => {
    mkdirSync(directory, { recursive: true });
    server = spawn(binary, [], { cwd: directory, env, stdio: 'ignore' });
    const isReady = async () => (await fetch(`http://127.0.0.1:${admin}/health`)).ok;
    await until(isReady, 'the server of Restate to be ready', { patienceMs: readyMs });
  };
  return {
    settings: {
      RESTATE_INGRESS: `http://127.0.0.1:${ingress}`,
      RESTATE_ADMIN: `http://127.0.0.1:${admin}`,
      // Where the server finds the service again after a restart.
      RESTATE_SERVICE_PORT: String(service),
    },
    pids: () => (server?.pid === undefined ? [] : [server.pid]),
    // What it still has to do would go to the next contender's database.
    wipe: async () => {
      await end();
      await start();
    },
    close: async () => {
      process.removeListener('exit', kill);
      await end();
    },
  };
}
