// Keeps the evidence: is told of everything that stands outside the system, and files it by order, key and token.
//
// Promises: nothing is forgotten or judged here; a table that it does not know is an error.
// Relies on being told everything in the order in which it took effect.

import { asTwo } from './early-claims.ts';
import type {
  Act,
  BreakerChange,
  Call,
  Ended,
  Evidence,
  Happening,
  Ledger,
  Look,
  Moved,
  Noted,
  OrderEvidence,
  Placement,
  PlaceOutcome,
  Publication,
  RunSettings,
  Token,
} from './evidence.ts';
import { createReaders } from './readers.ts';
import type { AnalyticsRow, Change, CursorRow, DependencyRow, EffectRow, JobRow, KeyRow, OrderRow } from './rows.ts';

export type Recorder = ReturnType<typeof createRecorder>;

export function createRecorder(settings: RunSettings, ledger: Ledger) {
  const orders = new Map<string, OrderEvidence>();
  const placements: Placement[] = [];
  const placementsByKey = new Map<string, Placement[]>();
  const placementOf = new Map<string, Placement>();
  const acts: Act[] = [];
  const looks: Look[] = [];
  const actOf = new Map<string, Act>();
  const keys = new Map<string, KeyRow>();
  const analytics = new Map<string, AnalyticsRow>();
  const cursors = new Map<string, CursorRow>();
  const cursorMoves: Moved<CursorRow>[] = [];
  const dependencies = new Map<string, DependencyRow>();
  const dependencyMoves: Moved<DependencyRow>[] = [];
  const readers = createReaders(settings.readers, cursors);
  const calls: Call[] = [];
  const breakers: BreakerChange[] = [];
  const happenings: Happening[] = [];
  const noted: Noted[] = [];
  const ended: Ended[] = [];
  const tokens = new Map<string, Token>();
  const complaints: { process: string; message: string; error: string }[] = [];
  let sequence = 0;
  let nowMs = 0;

  function orderOf(id: string): OrderEvidence {
    let order = orders.get(id);
    if (order === undefined) {
      order = emptyOrder(id);
      orders.set(id, order);
    }
    return order;
  }

  function apply(process: string, atMs: number, change: Change): string | null {
    const { label, transaction = label, before, after } = change;
    const moved = { sequence, atMs, process, label, transaction, token: change.token ?? null };
    switch (change.table) {
      case 'orders': {
        const order = orderOf((change.after ?? change.before)?.id ?? '');
        order.row = change.after;
        order.moves.push({ ...moved, before: change.before, after: change.after });
        for (const name of ['authorization', 'booking'] as const) {
          const [old, now] = [effectOf(change.before, name), effectOf(change.after, name)];
          if (now === null || isSame(old, now)) continue;
          order.effects.set(name, now);
          order.effectMoves.push({ ...moved, before: old, after: now });
        }
        return order.id;
      }
      case 'idempotency_keys':
        if (change.after !== null) keys.set(change.after.key, change.after);
        else if (change.before !== null) keys.delete(change.before.key);
        return null;
      case 'events': {
        if (change.after === null) return null;
        const order = orderOf(change.after.order_id);
        order.events.push(change.after);
        order.eventSequences.push(sequence);
        readers.committed(order, change.after, atMs);
        return order.id;
      }
      case 'cursors':
        if (change.after === null) return null;
        cursors.set(change.after.reader, change.after);
        cursorMoves.push({ ...moved, before: change.before, after: change.after });
        readers.moved(change.after, atMs);
        return null;
      case 'jobs': {
        const row = change.after ?? change.before;
        if (row === null) return null;
        const order = orderOf(row.order_id);
        const key = keyOfJob(row);
        if (change.after === null) order.jobs.delete(key);
        else order.jobs.set(key, change.after);
        order.jobMoves.push({ ...moved, before: change.before, after: change.after });
        return order.id;
      }
      case 'dependencies': {
        const row = change.after ?? change.before;
        if (row === null) return null;
        if (change.after === null) dependencies.delete(row.name);
        else dependencies.set(row.name, change.after);
        dependencyMoves.push({ ...moved, before: change.before, after: change.after });
        return null;
      }
      case 'dead_letters': {
        const row = change.after ?? change.before;
        if (row === null) return null;
        const order = orderOf(row.order_id);
        if (change.after === null) order.deadLetters.delete(row.id);
        else order.deadLetters.set(row.id, change.after);
        order.deadLetterMoves.push({ ...moved, before: change.before, after: change.after });
        return order.id;
      }
      case 'attempts': {
        if (change.after === null) return null;
        const order = orderOf(change.after.order_id);
        order.attempts.push(change.after);
        order.attemptSequences.push(sequence);
        return order.id;
      }
      case 'audit_log': {
        if (change.after === null) return null;
        const order = orderOf(change.after.order_id ?? '');
        order.audits.push(change.after);
        return order.id;
      }
      case 'analytics': {
        if (change.after === null) return null;
        const { day, measure, value, currency, country } = change.after;
        analytics.set([day, measure, value, currency, country].join('\n'), change.after);
        return null;
      }
      default:
        throw new Error(`no oracle knows this table: ${JSON.stringify({ before, after })}`);
    }
  }

  const evidence: Evidence = {
    settings,
    orders,
    placements,
    placementsByKey,
    placementOf,
    acts,
    looks,
    actOf,
    keys,
    analytics,
    cursors,
    cursorMoves,
    dependencies,
    dependencyMoves,
    calls,
    breakers,
    happenings,
    noted,
    ended,
    tokens,
    complaints,
    ledger,
    get nowMs() {
      return nowMs;
    },
  };

  return {
    evidence,
    // A transaction has committed, `atMs` by the clock of the database, from the beginning. Answers the orders it touched.
    committed: (process: string, atMs: number, changes: readonly Change[]): ReadonlySet<string> => {
      sequence += 1;
      nowMs = atMs;
      const touched = new Set<string>();
      for (const change of changes.flatMap(asTwo)) {
        const id = apply(process, atMs, change);
        if (id !== null) touched.add(id);
      }
      return touched;
    },
    // The caller keeps the object and calls `answered` once, or never.
    asked: (placement: Omit<Placement, 'answer'>): Placement => {
      const kept: Placement = { ...placement, answer: null };
      placements.push(kept);
      placementOf.set(kept.correlationId, kept);
      if (kept.key !== null) {
        const equal = placementsByKey.get(kept.key);
        if (equal === undefined) placementsByKey.set(kept.key, [kept]);
        else equal.push(kept);
      }
      return kept;
    },
    answered: (placement: Placement, answer: PlaceOutcome, atMs: number = nowMs): void => {
      placement.answer = answer;
      placement.answeredMs = atMs;
      if ('order' in answer) orderOf(answer.order.id).acknowledged.push(placement);
    },
    // As `asked`, for a cancel or a reprocess; the caller sets `answer` on what it gets.
    acted: (act: Omit<Act, 'answer'>): Act => {
      const kept = { ...act, answer: null };
      acts.push(kept);
      actOf.set(kept.correlationId, kept);
      // An id that nobody has is no order.
      if (kept.orderId !== null) orders.get(kept.orderId)?.acts.push(kept);
      return kept;
    },
    // The same for somebody who only looks.
    looked: (look: Omit<Look, 'answer'>): Look => {
      const kept = { ...look, answer: null };
      looks.push(kept);
      return kept;
    },
    // The caller sets `trouble` on what it gets when the call has ended for it.
    called: (call: Omit<Call, 'effect' | 'trouble'>): Call => {
      const order = call.orderId === null ? undefined : orders.get(call.orderId);
      const effects = order === undefined ? [] : [...order.effects.values()];
      const kept: Call = { ...call, effect: effects.find((effect) => effect.key === call.key) ?? null };
      calls.push(kept);
      order?.calls.push(kept);
      return kept;
    },
    published: (publication: Publication): void => {
      orderOf(publication.orderId).publications.push(publication);
    },
    tokenMade: (process: string, token: string, monotonicMs: number): void => {
      tokens.set(token, { process, monotonicMs, askedMs: monotonicMs });
    },
    // A look at what is due made it, some time after it had asked.
    tokenAskedFor: (token: string, askedMs: number): void => {
      const made = tokens.get(token);
      if (made !== undefined) tokens.set(token, { ...made, askedMs });
    },
    breakerChanged: (change: BreakerChange) => void breakers.push(change),
    happened: (happening: Happening) => void happenings.push(happening),
    note: (note: Noted) => void noted.push(note),
    ended: (end: Ended) => void ended.push(end),
    complained: (process: string, message: string, error: string) => void complaints.push({ process, message, error }),
  };
}

export function keyOfJob({ consumer, version }: Pick<JobRow, 'consumer' | 'version'>): string {
  return `${consumer} ${version}`;
}

export function effectOf(order: OrderRow | null, name: 'authorization' | 'booking'): EffectRow | null {
  const state = order?.[`${name}_state`] ?? null;
  if (order === null || state === null) return null;
  const generation = order[`${name}_generation`] as number;
  return {
    ...{ order_id: order.id, name, key: `${order.id}:${name}:${generation}`, generation, state },
    token: order[`${name}_token`] as string,
    first_used_at: order[`${name}_first_used_at`] as Date,
  };
}

const isSame = (one: EffectRow | null, { key, state, token }: EffectRow): boolean =>
  one !== null && one.key === key && one.state === state && one.token === token;

export function emptyOrder(id: string): OrderEvidence {
  return {
    id,
    row: null,
    moves: [],
    events: [],
    eventSequences: [],
    owed: new Map(),
    passes: [],
    jobs: new Map(),
    jobMoves: [],
    effects: new Map(),
    effectMoves: [],
    deadLetters: new Map(),
    deadLetterMoves: [],
    attempts: [],
    attemptSequences: [],
    audits: [],
    publications: [],
    calls: [],
    acknowledged: [],
    acts: [],
  };
}
