// jobs and dependencies: jobs.ts, dependencies.ts.

import { type JobRow, jobKey, newJob, type Tables } from '../schema.ts';
import type { Change, Found } from '../table.ts';
import { float, floats, integer, integers, text, texts, time, times, uuids } from '../values.ts';
import { eventColumns } from './events.ts';
import { recordColumns } from './orders.ts';
import { type Ask, compare, isOver, laterBy, ones, type Row, type Statement } from './statement.ts';

type Key = { readonly order_id: string; readonly version: number; readonly consumer: string };

function keysOf([orders, versions, consumers]: readonly unknown[]): Key[] {
  const [numbers, names] = [integers(versions), texts(consumers)];
  return uuids(orders).map((order_id, i) => ({
    order_id,
    version: numbers[i] as number,
    consumer: names[i] as string,
  }));
}
const find = ({ tables, tx }: Ask, key: Key): Found<JobRow> | null => tables.jobs.find(tx, jobKey(key));
const get = ({ tables, tx }: Ask, key: Key): JobRow | null => tables.jobs.get(tx, jobKey(key));

const isFree = ({ lease_until }: JobRow, nowMs: number) => lease_until === null || isOver(lease_until, nowMs);
// False while one of its order and consumer is there that was sent back too, for an earlier event.
const isFirst = ({ tables, tx }: Ask, j: JobRow) =>
  j.epoch === 0 ||
  !tables.jobs
    .findAll(tx, 'consumer', j.consumer)
    .some(({ row }) => row.order_id === j.order_id && row.version < j.version && row.epoch > 0);
const msSince = (moment: Date | null, nowMs: number) => (moment === null ? 0 : nowMs - moment.getTime());

function* claimJobs(ask: Ask, values: readonly unknown[]) {
  const { tables, tx, nowMs } = ask;
  const [befores, tokens, attempts, takeovers] = [
    uuids(values[3]),
    uuids(values[4]),
    integers(values[5]),
    integers(values[6]),
  ];
  const changes = keysOf(values).map((key, i): Change<JobRow> => {
    const token = tokens[i] as string;
    const counts = { attempt: attempts[i] as number, takeovers: takeovers[i] as number };
    return {
      found: find(ask, key),
      where: (j) => j.token === befores[i] && isFree(j, nowMs()),
      to: (j) => ({ ...j, ...counts, token, lease_until: laterBy(nowMs(), float(values[7])) }),
      token,
    };
  });
  return ones(yield* tables.jobs.change(tx, changes));
}

function* deleteJobs(ask: Ask, values: readonly unknown[]) {
  const tokens = uuids(values[3]);
  const changes = keysOf(values).map((key, i): Change<JobRow> => {
    const token = tokens[i] as string | null;
    return { found: find(ask, key), where: (j) => j.token === token, to: () => null, token };
  });
  return ones(yield* ask.tables.jobs.change(ask.tx, changes));
}

function* pauseJobs(ask: Ask, values: readonly unknown[]) {
  const { tables, tx, nowMs } = ask;
  const [tokens, dues, attempts, takeovers] = [
    uuids(values[3]),
    floats(values[4]),
    integers(values[5]),
    integers(values[6]),
  ];
  const charges = values[7] as readonly boolean[];
  const changes = keysOf(values).map((key, i): Change<JobRow> => {
    const token = tokens[i] as string;
    const counts = { attempt: attempts[i] as number, takeovers: takeovers[i] as number };
    return {
      found: find(ask, key),
      where: (j) => j.token === token,
      to: (j) => ({
        ...j,
        ...counts,
        token: null,
        lease_until: null,
        due_at: new Date(nowMs() + (dues[i] as number)),
        waiting_since: charges[i] ? null : (j.waiting_since ?? new Date(nowMs())),
      }),
      token,
    };
  });
  return ones(yield* tables.jobs.change(tx, changes));
}

function* renewLeases(ask: Ask, values: readonly unknown[]) {
  const { tables, tx, nowMs } = ask;
  const [tokens, leaseMs] = [uuids(values[3]), float(values[4])];
  const mine = keysOf(values).flatMap((key, i) => {
    const found = find(ask, key);
    if (found === null || found.row.token !== tokens[i] || isFree(found.row, nowMs())) return [];
    return [found];
  });
  mine.sort(({ row: one }, { row: other }) => byKey(one, other));
  const locked = mine.filter((found) => tables.jobs.tryLock(tx, found));
  const to = (j: JobRow) => ({ ...j, lease_until: laterBy(nowMs(), leaseMs) });
  yield* tables.jobs.change(
    tx,
    locked.map((found) => ({ found, where: () => true, to })),
  );
  return [];
}

const byKey = (one: Key, other: Key) =>
  compare(one.order_id, other.order_id) || one.version - other.version || compare(one.consumer, other.consumer);

// What is looked for, by what the statement says about it.
function soughtIn(ask: Ask, [, , , types, patienceMs, dependencies]: readonly unknown[]): (job: JobRow) => boolean {
  const known = new Set(texts(types));
  const isKnown = ({ event_type }: JobRow) => known.has(event_type);
  if (ask.text.includes('dependencies')) {
    const names = new Set(texts(dependencies));
    const downs = [...ask.tables.dependencies.all(ask.tx)].filter(({ row }) => names.has(row.name));
    const downMs = Math.max(...downs.map(({ row }) => row.down_since.getTime()));
    const sinceMs = ({ created_at }: JobRow) => Math.max(created_at.getTime(), downMs);
    return (j) => isKnown(j) && downs.length > 0 && sinceMs(j) < ask.startedMs() - float(patienceMs);
  }
  if (!ask.text.includes('<> ALL')) return isKnown;
  return (j) => !isKnown(j) && j.created_at.getTime() < ask.startedMs() - float(patienceMs);
}

const lockOrdersOfDueJobs: Statement = (ask, values) => {
  const { tables, tx } = ask;
  const [consumer, floor, limit] = [text(values[0]), time(values[1]), integer(values[2])];
  const nowMs = ask.startedMs();
  const isSought = soughtIn(ask, values);
  const due = tables.jobs
    .findAll(tx, 'consumer', consumer)
    .map(({ row }) => row)
    .filter((j) => j.due_at >= floor && isOver(j.due_at, nowMs) && isFree(j, nowMs) && isSought(j) && isFirst(ask, j));
  due.sort((one, other) => Number(one.due_at) - Number(other.due_at));
  const rows: Row[] = [];
  for (const { order_id, version } of due) {
    if (rows.length === limit) break;
    const order = tables.orders.find(tx, order_id);
    if (order === null || !tables.orders.tryLock(tx, order)) continue;
    rows.push({ job_version: version, ...recordColumns(order.row) });
  }
  return rows;
};

// Of a consumer's jobs the moments at which they are due, in ms.
const duesOf = (tables: Tables, tx: Ask['tx'], consumer: unknown) =>
  tables.jobs.findAll(tx, 'consumer', text(consumer)).map(({ row }) => row.due_at.getTime());

export const jobStatements: Readonly<Record<string, Statement>> = {
  'read-jobs': (ask, values) => {
    const { tables, tx } = ask;
    const nowMs = ask.nowMs();
    return keysOf(values).flatMap((key) => {
      const [job, event] = [get(ask, key), tables.events.get(tx, `${key.order_id} ${key.version}`)];
      if (job === null || event === null) return [];
      const { consumer, token, epoch, attempt, takeovers } = job;
      return [
        {
          ...{ ...eventColumns(event), consumer, token, epoch, attempt, takeovers },
          is_leased: !isFree(job, nowMs),
          is_due: isOver(job.due_at, nowMs) && isFirst(ask, job),
          age_ms: msSince(job.created_at, nowMs),
          waited_ms: msSince(job.waiting_since, nowMs),
        },
      ];
    });
  },

  'read-tokens': (ask, values) =>
    keysOf(values).flatMap((key) => {
      const job = get(ask, key);
      return job === null ? [] : [{ ...key, token: job.token, takeovers: job.takeovers }];
    }),

  'claim-jobs': claimJobs,

  'delete-jobs': deleteJobs,

  'pause-jobs': pauseJobs,

  'recreate-jobs': function* ({ tables, tx, startedMs }, values) {
    const [types, epochs] = [texts(values[3]), integers(values[4])];
    const subscribed = new Set([...tables.subscriptions.all(tx)].map(({ row }) => row.consumer));
    for (const [i, key] of keysOf(values).entries()) {
      if (!subscribed.has(key.consumer)) continue;
      const job = newJob(key, types[i] as string, startedMs());
      yield* tables.jobs.insert(tx, { ...job, epoch: epochs[i] as number });
    }
    return [];
  },

  'renew-leases': renewLeases,

  'find-lost-leases': (ask, values) => {
    const tokens = uuids(values[3]);
    const nowMs = ask.nowMs();
    return keysOf(values).flatMap((key, i) => {
      const job = get(ask, key);
      const isHeld = job !== null && job.token === tokens[i] && !isFree(job, nowMs);
      return isHeld ? [] : [{ token: tokens[i] }];
    });
  },

  'end-all-leases': function* ({ tables, tx, nowMs }) {
    const to = (j: JobRow) => ({ ...j, lease_until: new Date(nowMs()) });
    const where = (j: JobRow) => j.lease_until !== null;
    yield* tables.jobs.change(
      tx,
      [...tables.jobs.all(tx)].map((found) => ({ found, where, to })),
    );
    return [];
  },

  'read-floor': ({ tables, tx, startedMs }, [consumer]) => [
    { floor: new Date(Math.min(startedMs() - 60_000, ...duesOf(tables, tx, consumer))) },
  ],

  'read-next-due': ({ tables, tx, startedMs }, [consumer]) => {
    const later = duesOf(tables, tx, consumer).filter((ms) => ms > startedMs());
    return [{ due_in_ms: later.length === 0 ? null : Math.min(...later) - startedMs() }];
  },

  'find-due': (ask, values) => {
    const { tables, tx, startedMs } = ask;
    const [floors, types] = [times(values[1]), new Set(texts(values[2]))];
    const nowMs = startedMs();
    const isDue = (j: JobRow, floor: Date | undefined) =>
      floor !== undefined &&
      j.due_at >= floor &&
      isOver(j.due_at, nowMs) &&
      isFree(j, nowMs) &&
      types.has(j.event_type) &&
      isFirst(ask, j);
    return texts(values[0]).flatMap((consumer, i) =>
      tables.jobs.findAll(tx, 'consumer', consumer).some(({ row }) => isDue(row, floors[i])) ? [{ consumer }] : [],
    );
  },

  'lock-orders-of-due-jobs': lockOrdersOfDueJobs,

  'dependency-down': function* ({ tables, tx, nowMs }, [name]) {
    yield* tables.dependencies.insert(tx, { name: text(name), down_since: new Date(nowMs()) }, 'key');
    return [];
  },

  'dependency-up': function* ({ tables, tx }, [name]) {
    const found = tables.dependencies.find(tx, text(name));
    yield* tables.dependencies.change(tx, [{ found, where: () => true, to: () => null }]);
    return [];
  },
};
