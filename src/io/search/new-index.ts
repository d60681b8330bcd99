// A new index beside the one that is searched: made, filled, and put in its place in one step.
//
// Promises: until the turn nobody finds it; at the turn the alias moves at once, so no search meets two
// indices or none. Indices that nothing leads to are removed at the end, those of broken-off runs too.

import type { Client } from '@elastic/elasticsearch';
import type { RebuildTarget } from '../../flow/projections/rebuild.ts';
import { readShapes } from './answers.ts';
import { createBulk } from './bulk.ts';
import { defaultAlias, indexName, isOurShape, mappings, numberOf, settings } from './index-shape.ts';
import { toOutside } from './troubles.ts';

export function createNewIndex(client: Client, alias = defaultAlias) {
  const all = indexName(alias, '*');
  const writeDocuments = createBulk(client);

  return {
    // The name that comes after all there are.
    nextName: async (): Promise<string> => {
      const found = Object.keys(await client.indices.get({ index: all }));
      return indexName(alias, Math.max(0, ...found.map(numberOf)) + 1);
    },
    // There, and with the mapping that we write.
    isOfThisRelease: async (index: string): Promise<boolean> => {
      if (!(await client.indices.exists({ index }))) return false;
      return isOurShape(readShapes(await client.indices.getMapping({ index }))[index]?.mappings);
    },
    // Without copies and without refreshing, until it is searched.
    create: async (index: string): Promise<void> => {
      const { number_of_shards, sort } = settings;
      const filling = { number_of_shards, sort, number_of_replicas: 0, refresh_interval: '-1' };
      await client.indices.create({ index, mappings, settings: filling });
    },
    targetOf: (index: string): RebuildTarget => ({
      write: async (documents, signal) => {
        try {
          return await writeDocuments({ index, require_alias: false }, documents, signal);
        } catch (error) {
          throw toOutside(error);
        }
      },
      turn: async () => {
        const { auto_expand_replicas, refresh_interval } = settings;
        await client.indices.putSettings({ index, settings: { auto_expand_replicas, refresh_interval } });
        await client.indices.refresh({ index });
        await client.indices.updateAliases({
          actions: [{ remove: { index: all, alias, must_exist: false } }, { add: { index, alias } }],
        });
      },
    }),
    removeOthers: async (index: string): Promise<void> => {
      const found = Object.keys(await client.indices.get({ index: all }));
      for (const other of found.filter((name) => name !== index)) await client.indices.delete({ index: other });
    },
  };
}
