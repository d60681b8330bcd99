// The judgment after everything was healed: three witnesses that know nothing of each other (what the
// customers hold, what the database says, what the partners' ledger says) and `verify` as an operator
// runs it.
//
// Promises: judges what is, never how long it took; the bounds of waiting are generous, and what is not
// at rest after them is a finding too. All findings are answered, not the first alone.

import type { Ledger } from '../../src/io/partners/ledger.ts';
import { awaitRest, countTakeovers, readLedger, unseen } from '../support/audit.ts';
import { invariants, unread } from '../support/invariants.ts';
import type { Customers } from './customers.ts';
import { compare, type Finding, readStored } from './evidence.ts';
import { sendAllBack } from './operator.ts';
import type { Stand } from './stand.ts';

// Leases, backoffs and probes of breakers end within seconds; the rest is for a busy machine.
const restMs = 120_000;
// One reprocess ends every dead letter that can be helped; what a breaker met at first may need a second.
const roundsMax = 5;
// With a delay in each step there is always work in hand.
const killsThatMeetWork = 10;

export async function judge(stand: Stand, customers: Customers, tell: (event: string) => void): Promise<Finding[]> {
  const findings: Finding[] = [];
  const { sql } = stand;
  const isAtRest = await attempt('not at rest, long after everything was healed', async () => {
    await awaitRest(sql, restMs);
    for (let round = 1; (await sendAllBack(sql, urlOf(stand))) > 0; round += 1) {
      if (round === roundsMax)
        throw new Error(`dead letters are still open after ${roundsMax} rounds of sending them back`);
      await awaitRest(sql, restMs);
    }
  });
  if (!isAtRest) findings.push({ what: 'orders that have not ended', subjects: await readUnended(stand) });

  tell('every customer asks again');
  await attempt('a repetition that is not answered as the first time', () => customers.askAllAgain());
  if (isAtRest) await attempt('not at rest after repetitions', () => awaitRest(sql, restMs));

  tell('the judgment');
  if (stand.counts.kills >= killsThatMeetWork && (await countTakeovers(sql)) === 0) {
    findings.push({ what: 'no kill met an order in the middle of a step: the run proves nothing', subjects: [] });
  }
  findings.push(...compare({ ...customers.client, tooLate: customers.tooLate }, await readStored(sql)));
  await attempt('verify finds something', async () => {
    const { code, stdout, stderr } = await stand.verify();
    if (code !== 0) throw new Error(`exit code ${code}\n${stdout}${stderr}`);
  });
  const entries = await readLedger(stand.sandbox.url() ?? '');
  const seen = { sql, published: [], ledger: { entries: () => entries } as unknown as Ledger };
  for (const [what, offenders] of Object.entries(invariants)) {
    if (unseen.includes(what)) continue;
    const found = await offenders(seen);
    if (found.length > 0) findings.push({ what: `broken: ${what}`, subjects: found.map((one) => JSON.stringify(one)) });
  }
  return findings;

  async function attempt(what: string, act: () => Promise<void>): Promise<boolean> {
    try {
      await act();
      return true;
    } catch (error) {
      findings.push({ what, subjects: [(error as Error).message] });
      return false;
    }
  }
}

async function readUnended({ sql }: Stand): Promise<string[]> {
  const rows = await sql<{ id: string; status: string }>(
    `SELECT id, status FROM orders WHERE status IN ('PENDING', 'PROCESSING')
     UNION SELECT order_id, consumer || ' has a job' FROM jobs
     UNION SELECT order_id, reader || ' has not read ' || type FROM (${unread}) AS unread`,
  );
  return rows.map(({ id, status }) => `${id} ${status}`);
}

const urlOf = ({ seats }: Stand) => seats[0]?.url() ?? '';
