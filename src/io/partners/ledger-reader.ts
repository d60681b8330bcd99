// The ledger of a sandbox over HTTP, order by order: what `verify` compares the database with.
//
// Promises: a page at a time, however long the ledger is; whatever is no answer of a sandbox is one
// sentence. Reads only. Relies on the sandbox's route /ledger/orders, and on order ids that sort the same
// as text there and as ids in the database.

import { Compile } from 'typebox/compile';
import type { System } from '../../engine/ports.ts';
import type { SeenEntry } from '../../flow/verify/ledger.ts';
import { LedgerPage } from './messages.ts';

const isPage = Compile(LedgerPage);
// Some 300 kB, and a few milliseconds of the sandbox.
const pageEntries = 1_000;
// A sandbox that has work to do answers within some milliseconds.
const answerTimeoutMs = 15_000;

export class LedgerUnreadableError extends Error {}

export type LedgerReader = {
  // Pages of the entries of all orders from one to another, both included; null = no end on that side.
  readonly between: (from: string | null, upTo: string | null) => AsyncGenerator<readonly SeenEntry[]>;
};

export function createLedgerReader(options: {
  readonly url: string;
  readonly system: Pick<System, 'after'>;
}): LedgerReader {
  const { url, system } = options;
  const base = url.replace(/\/+$/, '');

  async function read(query: URLSearchParams): Promise<LedgerPage> {
    const late = new AbortController();
    const timer = system.after(answerTimeoutMs, () => late.abort());
    try {
      const response = await fetch(`${base}/ledger/orders?${query}`, { signal: late.signal });
      const page: unknown = response.ok ? await response.json() : null;
      if (isPage.Check(page)) return page as LedgerPage;
      throw new LedgerUnreadableError(`answered with status ${response.status}, and not as a sandbox does`);
    } catch (error) {
      if (error instanceof LedgerUnreadableError) throw error;
      throw new LedgerUnreadableError(late.signal.aborted ? 'does not answer' : reasonOf(error));
    } finally {
      timer.cancel();
    }
  }

  return {
    between: async function* (from, upTo) {
      for (let cursor: string | null = ''; cursor !== null; ) {
        const query = new URLSearchParams({ limit: String(pageEntries) });
        if (from !== null) query.set('from', from);
        if (upTo !== null) query.set('upTo', upTo);
        if (cursor !== '') query.set('cursor', cursor);
        const page = await read(query);
        yield page.items.map(toSeen);
        cursor = page.nextCursor;
      }
    },
  };
}

function toSeen({ partner, orderId, key, state, reference, terms }: LedgerPage['items'][number]): SeenEntry {
  const { amount, currency, kind } = terms ?? {};
  return { partner, orderId, key, state, reference, amount, currency, kind };
}

function reasonOf(error: unknown): string {
  const { code } = ((error as { cause?: unknown }).cause ?? {}) as { code?: unknown };
  return typeof code === 'string' ? `cannot be reached (${code})` : 'does not answer as a sandbox does';
}
