// The servers of `npm run services` for a run: started when they are not there, and then stopped again afterwards.
//
// Promises: `wipe` makes a server forget everything; one that ran before runs on.

import { createFleet } from '../services/fleet.ts';
import { type BusKind, openBusServer } from '../tests/services/bus-server.ts';
import { servicesDirectory } from '../tests/support/services.ts';

export type Server = Awaited<ReturnType<typeof openServer>>;

export async function openServer(kind: BusKind) {
  const say = (name: string, text: string) => void process.stderr.write(`  ${name} ${text}\n`);
  const fleet = createFleet({ directory: servicesDirectory, environment: process.env, say });
  const before = await fleet.look(kind);
  const { settings, wipe, close } = await openBusServer(kind);
  const { pid } = await fleet.look(kind);
  const isOurs = before.how !== 'environment' && before.pid === null && pid !== null;
  // A run that is ended early has no time to stop it in order.
  const kill = () => void (isOurs && process.kill(pid));
  process.once('exit', kill);
  return {
    settings: Object.fromEntries(Object.entries(settings).map(([name, value]) => [name, String(value)])),
    pids: () => (pid === null ? [] : [pid]),
    wipe,
    close: async () => {
      process.removeListener('exit', kill);
      await close();
      if (isOurs) await fleet.stop(kind);
    },
  };
}
