// What the terminal shows once orders are taken: where, and what to do first.
//
// Promises: the command can be pasted as it stands. Relies on nothing: whoever greets need not load what it
// greets for.

export function greeting(url: string, { database, docs }: { database: string; docs: boolean }): string {
  return `
  Orderly is running at ${url}${docs ? `   (API documentation: ${url}/docs)` : ''}
  on ${database}

  Place an order:

    curl -s ${url}/orders -H 'content-type: application/json' -H 'Idempotency-Key: my-first-order' \\
      -d '{"customerEmail":"user@example.com","productType":"Phone","country":"US","paymentScenario":"flaky"}'

  Then look at ${url}/orders/<id>/timeline. Ctrl-C stops it; nothing is lost.
`;
}
