// A reader in a process of its own, to be killed: `node bus-reader.ts MODULE WORLD GROUP HOLD_AFTER`.
//
// Says a line per message as it is handed over. Acknowledges, until it has HOLD_AFTER messages; what comes
// then it keeps for ever. Ends by a signal, or in peace when its standard input ends.

import { parseArgs } from 'node:util';
import { silentLog } from '../support/silent-log.ts';
import type { OpenBus } from './bus.contract.ts';
import { read, type World } from './bus-world.ts';

const { positionals } = parseArgs({ allowPositionals: true });
const [module = '', given = '', group = '', holdAfter = ''] = positionals;
const { openBus } = (await import(module)) as { openBus: OpenBus };
const world = JSON.parse(given) as World;
const bus = openBus(world, silentLog);
let count = 0;
const reader = await read(bus, world, group, async (ids) => {
  count += ids.length;
  process.stdout.write(ids.map((id) => `${id}\n`).join(''));
  if (count > Number(holdAfter)) await new Promise(() => {});
});
process.stdin.resume().on('end', async () => {
  await reader.close();
  await bus.close();
});
