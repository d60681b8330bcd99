// The role `reindex`: builds all documents of the search anew from the orders, beside the live ones.
//
// Promises: searching and working go on meanwhile; a run that is stopped or killed goes on where it was when
// it is started again; what keeps it from going on is one sentence. On the embedded database it takes the
// directory, as the product does.

import type { OrderId } from '../domain/order.ts';
import type { Log, System } from '../engine/ports.ts';
import { type RebuildTarget, rebuild } from '../flow/projections/rebuild.ts';
import type { Search } from '../flow/projections/search-ports.ts';
import { lockDirectory } from '../io/directory-lock.ts';
import { createCursors } from '../io/postgres/cursors.ts';
import type { Database } from '../io/postgres/database.ts';
import { createPostgresSearch } from '../io/postgres/documents.ts';
import { isAway } from '../io/postgres/errors.ts';
import { beforeAllOrders, createReadHistories, readHistoriesAfter } from '../io/postgres/histories.ts';
import {
  createRebuilds,
  estimateOrders,
  type HeldRebuild,
  quietMsMax,
  RebuildLostError,
  rebuildReader,
} from '../io/postgres/rebuilds.ts';
import type { Config } from './config.ts';
import { databaseName } from './database-name.ts';
import { openDatabase } from './open-database.ts';
import { createOutsideIndexing } from './projections.ts';
import { StartError } from './start-error.ts';

// Often enough to see that it goes on.
const progressMs = 1_000;
// How many refused documents are shown; the others are counted.
const shownMax = 5;
const tableName = 'order_documents';

type Parts = {
  readonly system: System;
  readonly log: Log;
  readonly signal: AbortSignal;
  readonly say: (text: string) => void;
  // Null = nobody watches.
  readonly progress: ((text: string) => void) | null;
};

export async function runReindex(config: Config, parts: Parts): Promise<'ok' | 'refused'> {
  const unlock = config.database.url === null ? lockDirectory(config.dataDir) : () => {};
  try {
    const database = await openDatabase(config, parts);
    parts.say(`Rebuilding the search of ${databaseName({ ...config.database, dataDir: config.dataDir })}.`);
    try {
      return config.search.engine === 'postgres'
        ? await rebuildTable(database, parts)
        : await rebuildIndex(database, config, parts);
    } finally {
      await database.close();
    }
  } catch (error) {
    if (error instanceof RebuildLostError) throw new StartError('Another process has taken this rebuild over.');
    if (parts.signal.aborted) throw new StartError('Stopped; run reindex again, and it goes on from here.');
    if (isAway(error)) throw new StartError('The database went away: run reindex again, and it goes on from here.');
    throw error;
  } finally {
    unlock();
  }
}

// Row by row in its place: an order that is being searched has its old words or its new ones.
async function rebuildTable(database: Database, parts: Parts): Promise<'ok' | 'refused'> {
  const held = await take(database, 'postgres', tableName, parts);
  const target = { write: createPostgresSearch(database).rewrite, turn: null };
  return fill(database, { ...parts, held, target, catchUp: async () => 0, finish: async () => {} });
}

async function rebuildIndex(database: Database, config: Config, parts: Parts): Promise<'ok' | 'refused'> {
  const { connectElasticsearch } = await import('../io/search/elasticsearch.ts');
  const { createNewIndex } = await import('../io/search/new-index.ts');
  const { client, mistake, close } = connectElasticsearch({ url: config.search.url, ...parts });
  try {
    const misfit = await mistake();
    if (misfit !== null) throw new StartError(misfit);
    const indices = createNewIndex(client);
    const next = await indices.nextName().catch((error) => {
      throw new StartError(`Elasticsearch at ELASTICSEARCH_URL cannot be used: ${String((error as Error).message)}.`);
    });
    let held = await take(database, 'elasticsearch', next, parts);
    const { rebuilds } = held;
    // What an earlier run has filled may have been removed since, or be of another release.
    const isFit = held.target !== next && (await indices.isOfThisRelease(held.target));
    if (!isFit) {
      await indices.create(next);
      held = { rebuilds, ...(await rebuilds.restart(next)) };
    }
    if (held.after === beforeAllOrders) await rebuilds.startCursor();
    const target = indices.targetOf(held.target);
    const turn = async () => {
      await target.turn?.();
      await rebuilds.putSearchBack();
    };
    const reader = createOutsideIndexing({
      ...parts,
      reader: rebuildReader('elasticsearch'),
      index: target.write,
      readHistories: createReadHistories(database),
      cursors: createCursors({ database, system: parts.system }),
      timeoutMs: config.worker.timeoutMs,
    });
    const catchUp = () => reader.runOnce(parts.signal);
    const finish = () => indices.removeOthers(held.target);
    return await fill(database, { ...parts, held, target: { ...target, turn }, catchUp, finish });
  } finally {
    await close();
  }
}

type Held = HeldRebuild & { readonly rebuilds: ReturnType<typeof createRebuilds> };

async function take(database: Database, kind: Search['kind'], name: string, { system, say }: Parts): Promise<Held> {
  const rebuilds = createRebuilds(database, kind, system.newToken());
  const held = await rebuilds.take(name);
  if (held === null) {
    const patience = `one that was killed is given up after ${quietMsMax / 1_000} seconds`;
    throw new StartError(`Another process rebuilds the search: wait for it, or stop it first; ${patience}.`);
  }
  say(`Rebuilding into ${held.target}${held.after === beforeAllOrders ? '' : ', from where an earlier run was'}.`);
  return { ...held, rebuilds };
}

async function fill(
  database: Database,
  parts: Parts & {
    readonly held: Held;
    readonly target: RebuildTarget;
    readonly catchUp: () => Promise<number>;
    readonly finish: () => Promise<void>;
  },
): Promise<'ok' | 'refused'> {
  const { held, target, catchUp, finish, system, signal, say, progress } = parts;
  const { rebuilds, after } = held;
  const about = await estimateOrders(database);
  const startMs = system.monotonicMs();
  const perSecond = (orders: number) => Math.round((orders * 1_000) / Math.max(1, system.monotonicMs() - startMs));
  let toldMs = startMs;
  const onProgress = (orders: number) => {
    if (progress === null || system.monotonicMs() - toldMs < progressMs) return;
    toldMs = system.monotonicMs();
    progress(`\r${orders} of about ${Math.round(about)} orders, ${perSecond(orders)} per second   `);
  };
  try {
    const readAfter = (id: OrderId, limit: number) => readHistoriesAfter(database, id, limit);
    const { save } = rebuilds;
    const { orders, refused } = await rebuild({
      ...{ readAfter, target, after, save, catchUp, onProgress, system, signal },
    });
    progress?.('\n');
    await finish();
    await rebuilds.finish();
    const seconds = Math.round((system.monotonicMs() - startMs) / 1_000);
    say(`${orders} documents in ${seconds} s (${perSecond(orders)} per second).`);
    for (const one of refused.slice(0, shownMax)) say(`refused: ${one}`);
    if (refused.length > 0) say(`${refused.length} documents were refused; their orders are not found.`);
    return refused.length === 0 ? 'ok' : 'refused';
  } catch (error) {
    progress?.('\n');
    await rebuilds.release().catch(() => {});
    throw error;
  }
}
