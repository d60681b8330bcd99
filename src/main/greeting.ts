// What the terminal shows once orders are taken: where, and what to do first.
//
// Promises: the command can be pasted as it stands; where no terminal watches, the greeting is a line of the log like any
// other. Relies on nothing: whoever greets need not load what it greets for.

import type { Log } from '../engine/ports.ts';

type Greeted = { readonly url: string; readonly database: string; readonly docs: boolean };

export type Greeter = {
  // Version and settings, for the log.
  readonly effective: object;
  readonly isTerminal: boolean;
  readonly say: (text: string) => void;
  readonly log: Log;
};

export function greet({ url, database, docs }: Greeted, { effective, isTerminal, say, log }: Greeter): void {
  if (isTerminal) say(greeting({ url, database, docs }));
  else
    log.info(
      { ...effective, url, database, docs: docs ? `${url}/docs` : null },
      `Orderly is running at ${url} on ${database}`,
    );
}

function greeting({ url, database, docs }: Greeted): string {
  return `
  Orderly is running at ${url}${docs ? `   (API documentation: ${url}/docs)` : ''}
  on ${database}

  Place an order:

    curl -s ${url}/orders -H 'content-type: application/json' -H 'Idempotency-Key: my-first-order' \\
      -d '{"customerEmail":"user@example.com","productType":"Phone","country":"US","paymentScenario":"flaky"}'

  Then look at ${url}/orders/<id>/timeline. Ctrl-C stops it; nothing is lost.
`;
}
