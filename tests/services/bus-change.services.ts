// Orders that are on their way while the installation moves from one bus to the next.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { startLoad } from '../support/client.ts';
import { inInstallation, slowestTest } from '../support/installation.ts';
import { startServer } from '../support/world.ts';
import { busKinds, openBusServer } from './bus-server.ts';
import { mixed, patient } from './stories.contract.ts';

describe('orders that change their bus between two starts', { timeout: 4 * slowestTest.timeout }, () => {
  it('all come to their end', async () => {
    const postgres = await startServer();
    const buses = await Promise.all(busKinds.map(openBusServer));
    try {
      await inInstallation(postgres, patient, async (installation) => {
        const { client, startRole, audited, processes, settings, sandbox } = installation;
        const load = startLoad(client, { scenarios: mixed });
        for (const { settings: bus } of buses) {
          const running = await Promise.all(
            (['api', 'relay', 'worker'] as const).map((role) => startRole(role, { ...bus, WORKER_PORT: 0 })),
          );
          await load.more(25);
          for (const role of running) await role.kill9();
        }
        await startRole('start');
        await load.stop();
        await audited();
        assert.equal((await processes.run(['verify', '--ledger', sandbox().url], settings)).code, 0);
      });
    } finally {
      await Promise.all(buses.map((bus) => bus.close()));
      await postgres.stop();
    }
  });
});
