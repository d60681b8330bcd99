// A worker of the consumer `search` alone, as a process that a test can kill: it polls, for no bus reaches it. Arguments: database, Elasticsearch, alias.

import { silentObserver } from '../../src/engine/observer.ts';
import type { Partners } from '../../src/flow/ports.ts';
import { connectElasticsearch } from '../../src/io/search/elasticsearch.ts';
import { createSystem } from '../../src/io/system.ts';
import { createEngine } from '../../src/main/wire.ts';
import { silentLog } from '../support/silent-log.ts';
import { connect } from '../support/store.ts';
import { quickSettings } from '../support/world.ts';

const [databaseUrl = '', url = '', alias = ''] = process.argv.slice(2);
const system = createSystem();
const engine = createEngine({
  database: connect(databaseUrl),
  bus: null,
  knowsAllWriters: false,
  partners: { payments: {}, carrier: {}, mail: {} } as Partners,
  search: connectElasticsearch({ url, system, log: silentLog, alias }).search,
  simulatedPartners: true,
  settings: { ...quickSettings, timeoutMs: 2_000, leaseMs: 4_000, concurrency: 256 },
  roles: { relay: false, consumers: ['search'] },
  retention: { keysHours: 168, rowsDays: 30 },
  observer: silentObserver,
  system,
  log: silentLog,
});
await engine.start();
process.send?.('ready');
