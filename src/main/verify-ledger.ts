// Reconciles one range of orders with the partners' ledger.
//
// Promises: two sources are no snapshot, so whatever looks wrong is read once more from both, first the
// database, and counts only if it still looks wrong. Memory is that of one range and one page, also
// where the ledger has millions of orders that the database does not know.

import { judgeLedger, type SeenEntry } from '../flow/verify/ledger.ts';
import type { Finding } from '../flow/verify/promises.ts';
import type { SeenOrder } from '../flow/verify/seen-order.ts';
import type { LedgerReader } from '../io/partners/ledger-reader.ts';

type Options = {
  readonly reader: LedgerReader;
  readonly ordersAgain: (ids: readonly string[]) => Promise<readonly SeenOrder[]>;
  readonly isUndone: (order: SeenOrder) => boolean;
  readonly found: (findings: readonly Finding[]) => void;
  readonly saw: (entries: number) => void;
};
// From above the first id to the second; null = no end on that side.
export type LedgerRange = { readonly after: string | null; readonly upTo: string | null };

const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

export function createReconciliation({ reader, ordersAgain, isUndone, found, saw }: Options) {
  const judge = (id: string, order: SeenOrder | null, entries: readonly SeenEntry[]) =>
    judgeLedger(id, order, order !== null && isUndone(order), entries);

  async function lookAgain(ids: readonly string[]): Promise<void> {
    const first = ids[0];
    if (first === undefined) return;
    const orders = new Map(
      (await ordersAgain(ids.filter((id) => uuid.test(id)))).map((order) => [order.id as string, order]),
    );
    const asked = new Map(ids.map((id): [string, SeenEntry[]] => [id, []]));
    for await (const page of reader.between(first, ids.at(-1) ?? first)) {
      for (const entry of page) asked.get(entry.orderId)?.push(entry);
    }
    for (const [id, entries] of asked) found(judge(id, orders.get(id) ?? null, entries));
  }

  return async ({ after, upTo }: LedgerRange, orders: readonly SeenOrder[]): Promise<void> => {
    const byId = new Map(orders.map((order) => [order.id as string, order]));
    const isSuspect = (id: string, entries: readonly SeenEntry[]) =>
      judge(id, byId.get(id) ?? null, entries).length > 0;
    const unseen = new Set(byId.keys());
    // The last order of a page may go on in the next one.
    let open: SeenEntry[] = [];
    for await (const page of reader.between(after, upTo)) {
      saw(page.length);
      const groups = Map.groupBy([...open, ...page], ({ orderId }) => orderId);
      const last = page.at(-1)?.orderId;
      open = last === undefined ? [] : (groups.get(last) ?? []);
      const whole = [...groups].filter(([id]) => id !== last && id !== after);
      for (const [id] of whole) unseen.delete(id);
      await lookAgain(whole.filter(([id, entries]) => isSuspect(id, entries)).map(([id]) => id));
    }
    const left = open[0]?.orderId;
    if (left !== undefined && left !== after) {
      unseen.delete(left);
      if (isSuspect(left, open)) await lookAgain([left]);
    }
    await lookAgain([...unseen].filter((id) => isSuspect(id, [])).sort());
  };
}
