// Whether somebody listens on a port of this machine's loopback.

import { once } from 'node:events';
import { connect } from 'node:net';

const connectTimeoutMs = 2_000;

export async function isListening(port: number): Promise<boolean> {
  const socket = connect({ host: '127.0.0.1', port });
  try {
    await once(socket, 'connect', { signal: AbortSignal.timeout(connectTimeoutMs) });
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
