// What `--full` adds: the sustained load again where something is in the way, and over each bus.
//
// Promises: `settings` reach Orderly and the peers by names of their own. Where the peers cannot be made to meet the
// same, Orderly is measured beside itself with nothing in the way.

import { busKinds } from '../tests/services/bus-server.ts';
import { openServer } from './bus-servers.ts';
import { type Contender, orderly, root } from './contender.ts';

export type Situation = {
  readonly name: string;
  readonly orderly: Readonly<Record<string, string>>;
  // Null: they are left out.
  readonly peers: Readonly<Record<string, string>> | null;
  // Another session keeps a snapshot open all the time, so that nothing dead can be removed.
  readonly isSnapshotHeld: boolean;
};

// More than the usual three, so that no order runs out of them and ends as a dead letter.
const patient = { ORDER_WORKER_MAX_RETRIES: '10' };

export const situations: readonly Situation[] = [
  {
    name: 'Partners answer after 20 ms',
    orderly: { ORDER_WORKER_PROCESSING_DELAY_MS: '20' },
    peers: { PARTNER_MS: '20' },
    isSnapshotHeld: false,
  },
  { name: 'Another session holds a snapshot open', orderly: {}, peers: {}, isSnapshotHeld: true },
  {
    name: '1 % of the calls to partners fail',
    orderly: { ...patient, ORDER_WORKER_FAILURE_PROBABILITY: '0.01' },
    peers: null,
    isSnapshotHeld: false,
  },
  {
    name: '10 % of the calls to partners fail',
    orderly: { ...patient, ORDER_WORKER_FAILURE_PROBABILITY: '0.1' },
    peers: null,
    isSnapshotHeld: false,
  },
  {
    name: 'Partners answer after 1 s, fifty times later than after 20 ms',
    orderly: { ORDER_WORKER_PROCESSING_DELAY_MS: '1000' },
    peers: null,
    isSnapshotHeld: false,
  },
];

// Orderly as one process over each bus, its server on this machine as well.
export async function openBuses(): Promise<{
  readonly contenders: readonly Contender[];
  readonly close: () => Promise<void>;
}> {
  const servers = await Promise.all(busKinds.map(async (kind) => ({ kind, server: await openServer(kind) })));
  return {
    contenders: servers.map(({ kind, server }) => ({
      ...orderly(`over ${kind}`, root, server.settings),
      besides: server.pids,
      reset: server.wipe,
    })),
    close: async () => void (await Promise.all(servers.map(({ server }) => server.close()))),
  };
}
