// What the terminal shows once orders are taken: where, and what to do first.
//
// Promises: the command can be pasted as it stands; where no terminal watches, the greeting is a line of the log like any
// other. Relies on nothing: whoever greets need not load what it greets for.

import type { Log } from '../engine/ports.ts';

type Greeted = {
  readonly url: string;
  readonly database: string;
  readonly docs: boolean;
  readonly console: boolean;
};

export type Greeter = {
  // Version and settings, for the log.
  readonly effective: object;
  readonly isTerminal: boolean;
  readonly say: (text: string) => void;
  readonly log: Log;
};

export function greet(greeted: Greeted, { effective, isTerminal, say, log }: Greeter): void {
  const { url, database } = greeted;
  if (isTerminal) say(greeting(greeted));
  else
    log.info(
      { ...effective, url, database, docs: docsOf(greeted), console: consoleOf(greeted) },
      `Orderly is running at ${url} on ${database}`,
    );
}

const docsOf = ({ url, docs }: Greeted) => (docs ? `${url}/docs` : null);
const consoleOf = ({ url, console }: Greeted) => (console ? `${url}/console` : null);

function greeting(greeted: Greeted): string {
  const { url, database } = greeted;
  const docs = docsOf(greeted);
  const console = consoleOf(greeted);
  return `
  Orderly is running at ${url}${docs ? `   (API documentation: ${docs})` : ''}
  on ${database}
${console ? `\n  Watch it and help it at ${console}\n` : ''}
  Place an order:

    curl -s ${url}/orders -H 'content-type: application/json' -H 'Idempotency-Key: my-first-order' \\
      -d '{"customerEmail":"user@example.com","productType":"Phone","country":"US","paymentScenario":"flaky"}'

  Then look at ${url}/orders/<id>/timeline. Ctrl-C stops it; nothing is lost.
`;
}
