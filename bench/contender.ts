// Who is measured: how it is prepared and started, and how its database says that every order ended once.
// Orderly is one, this checkout or another; the peers are others (bench/peers/).
//
// Promises: settings are the contender's defaults except those named here; it listens on PORT of its
// environment and answers POST /orders with 201 once the order is durable.

import { join } from 'node:path';

export type Contender = {
  readonly name: string;
  readonly directory: string;
  // Arguments of node; run to its end on a new database.
  readonly prepare: readonly string[] | null;
  readonly start: readonly string[];
  readonly settings: Readonly<Record<string, string>>;
  // Servers beside PostgreSQL: their processes, whose CPU counts as its own, and how they forget everything.
  readonly besides: () => readonly number[];
  readonly reset: (() => Promise<void>) | null;
  // Another session keeps a snapshot of its database open all the time.
  readonly isSnapshotHeld: boolean;
  // Works without DATABASE_URL.
  readonly hasEmbedded: boolean;
  readonly readyPath: string;
  // The counter in its `/metrics` of orders that are finished, their notification recorded.
  readonly finished: string;
  // A condition on `orders o`: processed, with exactly one authorization and one booking.
  readonly endedOnce: string;
};

export const root = join(import.meta.dirname, '..');
// As `npm start` runs it.
const node = ['--max-semi-space-size=8'];

export function orderly(name: string, directory: string, settings: Readonly<Record<string, string>> = {}): Contender {
  return {
    name,
    directory,
    prepare: [...node, 'src/main/cli.ts', 'migrate'],
    start: [...node, 'src/main/cli.ts', 'start'],
    settings: { LOG_LEVEL: 'warn', SANDBOX_PORT: '0', ...settings },
    besides: () => [],
    reset: null,
    isSnapshotHeld: false,
    hasEmbedded: true,
    readyPath: '/readyz',
    // Its name has changed between releases, its labels have not.
    finished: '^orderly_\\w+_total\\{consumer="notification",end="done"\\} (\\d+)',
    endedOnce: `o.status = 'PROCESSED' AND (
      SELECT count(*) FILTER (WHERE type LIKE 'PaymentAuthorized%') = 1
         AND count(*) FILTER (WHERE type LIKE 'FulfillmentScheduled%') = 1
      FROM events e WHERE e.order_id = o.id)`,
  };
}
