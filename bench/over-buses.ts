// The measurements over the buses: Orderly as one process over each bus, then its roles as processes over
// Kafka, from one worker for everything to several for the steps that call partners.
//
// Promises: a new database and an emptied bus for each row; an order that was accepted and is not PROCESSED
// at the end is a failure of the run. The servers of the buses are those of `npm run services`.

import { type BusKind, openBusServer } from '../tests/services/bus-server.ts';
import type { RoleCommand } from '../tests/support/process.ts';
import {
  assertAllProcessed,
  idleEveryMs,
  type Measurement,
  processedAfter,
  sustain,
  unfinishedMax,
} from './measurements.ts';
import { ms } from './rows.ts';
import { createSubject } from './subject.ts';
import type { Row } from './table.ts';

const apart = (...workers: readonly RoleCommand[]): readonly RoleCommand[] => ['api', 'relay', ...workers];
const others = 'worker compensation notification analytics search';
const layouts = {
  'one process': ['start'],
  'API, relay, one worker': apart('worker'),
  'a worker per step': apart('worker payment', 'worker fulfillment', others),
  'three workers per step': apart(
    ...Array<RoleCommand>(3).fill('worker payment'),
    ...Array<RoleCommand>(3).fill('worker fulfillment'),
    others,
  ),
} satisfies Readonly<Record<string, readonly RoleCommand[]>>;
type LayoutName = keyof typeof layouts;

const goals = { rate: { atLeast: 1_500 }, idle: { atMost: 100 } } as const;

export const overKafka = overBus('kafka', Object.keys(layouts) as LayoutName[]);
export const overRedis = overBus('redis', ['one process', 'a worker per step']);
export const overSqs = overBus('sqs', ['one process', 'a worker per step']);

function overBus(kind: BusKind, names: readonly LayoutName[]): Measurement {
  return async (sizes, say) => {
    const rows: Row[] = [];
    const raw: Record<string, unknown> = {};
    for (const name of names) {
      const bus = await openBusServer(kind);
      const subject = await createSubject({}, { roles: layouts[name], settings: bus.settings });
      try {
        await subject.start();
        say(`${name}: warming up`);
        const warmUp = await subject.load({ kind: 'burst', orders: sizes.warmUp, connections: 64 });
        say(`${name}: one order at a time`);
        const paced = await subject.load({
          kind: 'paced',
          orders: Math.ceil(sizes.idle / 2),
          everyMs: 2 * idleEveryMs,
        });
        const idle = await processedAfter(subject, paced);
        say(`${name}: a sustained load`);
        const sustained = await sustain(subject, sizes, unfinishedMax, null);
        const underLoad = await processedAfter(subject, sustained);
        await assertAllProcessed(subject, [warmUp, paced, sustained]);
        const group = `Over ${kind}: ${name}`;
        rows.push(
          {
            group,
            name: 'sustained: orders',
            value: sustained.processedPerSecond ?? Number.NaN,
            unit: '/s',
            goal: goals.rate,
            how: `p50 ${ms(underLoad.p50)}, p99 ${ms(underLoad.p99)} from create to PROCESSED; ${sustained.cores.toFixed(2)} cores`,
          },
          {
            group,
            name: 'idle: create → PROCESSED, p50',
            value: idle.p50,
            unit: 'ms',
            goal: goals.idle,
            how: `p99 ${ms(idle.p99)}; ${Math.round(await subject.residentMb())} MB in ${layouts[name].length} processes`,
          },
        );
        raw[name] = { warmUp, paced, sustained, idle, underLoad };
      } finally {
        await subject.close();
        await bus.close();
      }
    }
    return { rows, raw };
  };
}
