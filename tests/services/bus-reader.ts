// A reader in a process of its own, to be killed: `node bus-reader.ts MODULE WORLD GROUP`.
//
// Says a line per message as it is handed over. Ends by a signal, or in peace when its standard input ends.

import { parseArgs } from 'node:util';
import { silentLog } from '../support/silent-log.ts';
import type { OpenBus } from './bus.contract.ts';
import { idOf, read, type World } from './bus-world.ts';

const { positionals } = parseArgs({ allowPositionals: true });
const [module = '', given = '', group = ''] = positionals;
const { openBus } = (await import(module)) as { openBus: OpenBus };
const world = JSON.parse(given) as World;
const bus = openBus(world, silentLog);
const reader = await read(bus, world, group, (batch) => {
  process.stdout.write(batch.map((received) => `${idOf(received)}\n`).join(''));
});
process.stdin.resume().on('end', async () => {
  await reader.close();
  await bus.close();
});
