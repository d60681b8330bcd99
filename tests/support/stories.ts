// The head of a test file whose tests are told in worlds of their own, on one server for all of them.
//
// Relies on being called at the top of the file, where `before` and `after` mean the whole of it.

import { after, before, it } from 'node:test';
import type { Postgres } from './postgres.ts';
import { inWorld, slowestTest, startServer, type World, type WorldOptions } from './world.ts';

export function storiesOnServer() {
  let postgres: Postgres;
  before(async () => {
    postgres = await startServer();
  });
  after(() => postgres.stop());
  return (name: string, options: WorldOptions, story: (world: World) => Promise<void>) =>
    it(name, slowestTest, () => inWorld(postgres, options, story));
}
