// How fast a bus is by itself, through our adapter, with nobody else at work: `node bench/buses.ts FILE`,
// FILE being one that exports `openBus` (tests/services/open-*.ts); addresses come from the environment.
//
// Prints messages per second published in the relay's batches and read by one member, and the time from
// publishing to `receive` of single messages on an idle bus.

import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { OpenBus } from '../tests/services/bus.contract.ts';
import { createWorld, idOf, messagesOf, publishAll, signal } from '../tests/services/bus-world.ts';
import { silentLog } from '../tests/support/silent-log.ts';
import { until } from '../tests/support/until.ts';

// As the relay publishes.
const batch = 500;
// With it a message has about 700 bytes.
const text = 'x'.repeat(370);
const total = Number(process.argv[3] ?? 50_000);
const singles = 500;
const patienceMs = 120_000;

const { openBus } = (await import(pathToFileURL(resolve(process.argv[2] ?? '')).href)) as { openBus: OpenBus };
const world = createWorld();
const [reader] = world.readers;
if (reader === undefined) throw new Error('a world without readers');
const bus = openBus(world, { ...silentLog, warn: console.error });
await publishAll(bus, messagesOf(world, 1));

const messages = messagesOf(world, total, (index) => ({ key: `order-${index}`, text }));
const publishedIn = await msOf(async () => {
  for (let at = 0; at < total; at += batch) await bus.publish(messages.slice(at, at + batch), signal);
});

let count = 0;
const arrivedMs = new Map<string, number>();
const other = openBus(world, silentLog);
const readIn = await msOf(async () => {
  await other.subscribe(reader.group, reader.types, (received) => {
    const nowMs = performance.now();
    count += received.length;
    if (count > total) for (const one of received) arrivedMs.set(idOf(one), nowMs);
  });
  await until(() => count > total, 'all messages', { patienceMs });
});

const latencies: number[] = [];
for (const message of messagesOf(world, singles)) {
  const beganMs = performance.now();
  await bus.publish([message], signal);
  await until(() => arrivedMs.has(message.id), 'a message', { patienceMs });
  latencies.push((arrivedMs.get(message.id) ?? 0) - beganMs);
}
latencies.sort((one, two) => one - two);
const quantile = (share: number) => latencies[Math.floor(latencies.length * share)]?.toFixed(1);
const rate = (ms: number) => Math.round(total / (ms / 1_000)).toLocaleString('en');

console.log(`bytes per message   ${messages[0]?.body.length}`);
console.log(`published           ${rate(publishedIn)} messages/s`);
console.log(`read                ${rate(readIn)} messages/s, from subscribing on`);
console.log(`idle, ms            p50 ${quantile(0.5)} · p99 ${quantile(0.99)}`);
await Promise.all([bus.close(), other.close()]);

async function msOf(act: () => Promise<void>): Promise<number> {
  const beganMs = performance.now();
  await act();
  return performance.now() - beganMs;
}
