// Which events each reader of the event log has gone past, and which are still before it.
//
// Promises: judges nothing: an event that was committed behind a cursor is told as such.

import type { OrderEvidence } from './evidence.ts';
import { holds, toSpans } from './model/spans.ts';
import type { CursorRow, EventColumns } from './rows.ts';

type Ref = { readonly order: OrderEvidence; readonly event: EventColumns };

export function createReaders(readers: readonly string[], cursors: ReadonlyMap<string, CursorRow>) {
  const known = new Map<number, Ref>();
  const before = new Map(readers.map((reader) => [reader, new Map<number, Ref>()]));

  const isBehind = ({ read_to, gaps }: CursorRow, position: number) =>
    position <= read_to && !holds(toSpans(gaps), position);
  const owe = (reader: string, ref: Ref) => {
    before.get(reader)?.set(ref.event.position, ref);
    ref.order.owed.set(`${reader} ${ref.event.version}`, { reader, event: ref.event });
  };

  return {
    committed: (order: OrderEvidence, event: EventColumns, atMs: number): void => {
      known.set(event.position, { order, event });
      for (const reader of readers) {
        const cursor = cursors.get(reader);
        if (cursor === undefined || !isBehind(cursor, event.position)) owe(reader, { order, event });
        else order.passes.push({ reader, event, atMs, wasUnseen: true });
      }
    },
    moved: (cursor: CursorRow, atMs: number): void => {
      const { reader, gaps } = cursor;
      const waiting = before.get(reader);
      if (waiting === undefined) return;
      for (const [position, { order, event }] of [...waiting]) {
        if (!isBehind(cursor, position)) continue;
        waiting.delete(position);
        order.owed.delete(`${reader} ${event.version}`);
        order.passes.push({ reader, event, atMs, wasUnseen: false });
      }
      // What a person sent back is to be handled again.
      for (const { from, to } of toSpans(gaps)) {
        for (let position = from; position <= to; position += 1) {
          const ref = waiting.has(position) ? undefined : known.get(position);
          if (ref !== undefined) owe(reader, ref);
        }
      }
    },
  };
}
