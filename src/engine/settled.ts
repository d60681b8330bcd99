// The end of an attempt, where the database may refuse what came of it.
//
// Promises: what is refused as data ends by its own name, at once: left to its lease it would be refused from every
// later worker, and in the end be called their death. Rejects where the database is away, or refuses the end as well.

import type { GroupCommit } from './group-commit.ts';
import { type Ending, RefusedError, type SettleAnswer, type SettleRequest, type Work } from './ports.ts';

export async function settled(
  settles: Pick<GroupCommit<SettleRequest, SettleAnswer>, 'add'>,
  work: Work,
  outcome: Ending,
  giveUp: (refused: RefusedError) => Ending,
): Promise<{ readonly ending: Ending; readonly answer: SettleAnswer }> {
  try {
    return { ending: outcome, answer: await settles.add({ work, ending: outcome }) };
  } catch (error) {
    if (!(error instanceof RefusedError)) throw error;
    const ending = giveUp(error);
    return { ending, answer: await settles.add({ work, ending }) };
  }
}
