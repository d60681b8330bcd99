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
  const { how } = await fleet.look(kind);
  const { settings, wipe, close } = await openBusServer(kind);
  const { pid } = await fleet.look(kind);
  return {
    settings: Object.fromEntries(Object.entries(settings).map(([name, value]) => [name, String(value)])),
    pids: () => (pid === null ? [] : [pid]),
    wipe,
    close: async () => {
      await close();
      if (how === 'none') await fleet.stop(kind);
    },
  };
}
