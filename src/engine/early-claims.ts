// Claims made together with their jobs: who writes an event writes the jobs of its own free slots as claimed already.
// That saves a transaction for each of them, with its locks, its reads and its wait.
//
// Promises: a slot is held before the job is written, so nothing is claimed that cannot start at once; each slot is
// used or free again when the write is over, however it ended. A claim whose write may have committed unseen is asked
// for once more under the same token. Process dies after the commit: the lease ends, as after any claim.

import type { ClaimEarly, EarlyClaim, Event, Work } from './ports.ts';

// What a consumer does for them.
export type EarlyClaimer = {
  // A slot and a token for the job of an event that is not written yet; null where it must wait. Each is ended by one of
  // the next three: its work begins, is asked for by key because an answer was lost, or is not to be.
  readonly reserve: (event: Pick<Event, 'subject' | 'type'>) => EarlyClaim | null;
  readonly begin: (work: Work) => void;
  readonly claim: (subject: string, version: number, token: string) => void;
  readonly free: () => void;
};

export type EarlyClaims = {
  // `write` may ask for the same event again, and gets the same claims; it resolves when it is known what it wrote.
  readonly during: <A>(write: (claim: ClaimEarly) => Promise<A>) => Promise<A>;
  // A write has committed these, and was answered.
  readonly begin: (works: readonly Work[]) => void;
};

type Held = EarlyClaim & { readonly consumer: EarlyClaimer; readonly subject: string; readonly version: number };

// `consumers` = those of this process; none where its work is done by others.
export function createEarlyClaims(consumers: () => readonly EarlyClaimer[]): EarlyClaims {
  // By token, until its work begins.
  const held = new Map<string, Held>();

  function reserve(event: Parameters<ClaimEarly>[0]): readonly Held[] {
    const { subject, version } = event;
    return consumers().flatMap((consumer) => {
      const claim = consumer.reserve(event);
      return claim === null ? [] : [{ ...claim, consumer, subject, version }];
    });
  }

  return {
    during: async (write) => {
      const reserved = new Map<string, readonly Held[]>();
      let isAnswered = false;
      try {
        const answer = await write((event) => {
          // A repeated write may decide otherwise, on an order that has changed meanwhile.
          const key = `${event.version} ${event.type}`;
          const known = reserved.get(key);
          if (known !== undefined) return known;
          const claims = reserve(event);
          reserved.set(key, claims);
          for (const claim of claims) held.set(claim.token, claim);
          return claims;
        });
        isAnswered = true;
        return answer;
      } finally {
        for (const { consumer, subject, version, token } of [...reserved.values()].flat()) {
          if (!held.delete(token)) continue;
          if (isAnswered) consumer.claim(subject, version, token);
          else consumer.free();
        }
      }
    },
    begin: (works) => {
      for (const work of works) {
        const claim = held.get(work.token);
        held.delete(work.token);
        claim?.consumer.begin(work);
      }
    },
  };
}
