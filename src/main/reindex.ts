// The role `reindex`: builds all documents of the search anew from the orders, beside the live ones.
//
// Promises: searching and working go on meanwhile; a run that is stopped or killed goes on where it was when
// it is started again; what keeps it from going on is one sentence. On the embedded database it takes the
// directory, as the product does.

import type { Log, System } from '../engine/ports.ts';
import { type RebuildPlace, type RebuildTarget, rebuild } from '../flow/projections/rebuild.ts';
import { lockDirectory } from '../io/directory-lock.ts';
import type { Database } from '../io/postgres/database.ts';
import { createPostgresSearch } from '../io/postgres/documents.ts';
import { isAway } from '../io/postgres/errors.ts';
import {
  createRebuildSource,
  createRebuilds,
  estimateOrders,
  quietMsMax,
  RebuildLostError,
} from '../io/postgres/rebuilds.ts';
import type { Config } from './config.ts';
import { databaseName } from './database-name.ts';
import { openDatabase } from './open-database.ts';
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
    const database = await openDatabase(config, parts.log);
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
  const held = await take(database, parts, tableName);
  const target = { write: createPostgresSearch(database).rewrite, turn: null };
  return fill(database, { ...parts, held, target, finish: async () => {} });
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
    let held = await take(database, parts, next);
    // What an earlier run has filled may have been removed since, or be of another release.
    const isFit = held.target !== next && (await indices.isOfThisRelease(held.target));
    if (!isFit) {
      await indices.create(next);
      held = { ...held, ...(await held.rebuilds.restart(next)) };
    }
    const target = indices.targetOf(held.target);
    return await fill(database, { ...parts, held, target, finish: () => indices.removeOthers(held.target) });
  } finally {
    await close();
  }
}

type Held = RebuildPlace & { readonly target: string; readonly rebuilds: ReturnType<typeof createRebuilds> };

async function take(database: Database, { system, say }: Parts, name: string): Promise<Held> {
  const rebuilds = createRebuilds(database, system.newToken());
  const held = await rebuilds.take(name);
  if (held === null) {
    const patience = `one that was killed is given up after ${quietMsMax / 1_000} seconds`;
    throw new StartError(`Another process rebuilds the search: wait for it, or stop it first; ${patience}.`);
  }
  say(`Rebuilding into ${held.target}${/^[0-]+$/.test(held.after) ? '' : ', from where an earlier run was'}.`);
  return { ...held, rebuilds };
}

async function fill(
  database: Database,
  parts: Parts & { readonly held: Held; readonly target: RebuildTarget; readonly finish: () => Promise<void> },
): Promise<'ok' | 'refused'> {
  const { held, target, finish, system, signal, say, progress } = parts;
  const { rebuilds } = held;
  const about = await estimateOrders(database);
  const startMs = system.monotonicMs();
  const perSecond = (orders: number) => Math.round((orders * 1_000) / Math.max(1, system.monotonicMs() - startMs));
  let toldMs = startMs;
  const onProgress = (orders: number, stage: string) => {
    if (progress === null || system.monotonicMs() - toldMs < progressMs) return;
    toldMs = system.monotonicMs();
    progress(`\r${stage}: ${orders} of about ${Math.round(about)}, ${perSecond(orders)} per second   `);
  };
  try {
    const save = (place: RebuildPlace) => rebuilds.save(held.target, place);
    const source = createRebuildSource(database);
    const { orders, refused } = await rebuild({ source, target, from: held, save, onProgress, system, signal });
    progress?.('\n');
    await finish();
    await rebuilds.finish(held.target);
    const seconds = Math.round((system.monotonicMs() - startMs) / 1_000);
    say(`${orders} documents in ${seconds} s (${perSecond(orders)} per second).`);
    for (const one of refused.slice(0, shownMax)) say(`refused: ${one}`);
    if (refused.length > 0) say(`${refused.length} documents were refused; their orders are not found.`);
    return refused.length === 0 ? 'ok' : 'refused';
  } catch (error) {
    progress?.('\n');
    await rebuilds.release(held.target).catch(() => {});
    throw error;
  }
}
