// The crash matrix: at each statement that a transaction sends, at its COMMIT, at each call of a partner, at a
// publish and at an acknowledgment, a process dies, freezes or loses the answer; and every order still ends well.
//
// The points are read from the source, so a new one is in the matrix by itself, or fails it where no story comes
// by. Exempted ones have their reason beside them. Every case is one small run, the same on every machine.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Partners } from '../../src/flow/ports.ts';
import { boundPartners } from '../../src/flow/steps/outside.ts';
import { unavailable } from '../../src/io/partners/troubles.ts';
import { createSystem } from '../../src/io/system.ts';
import type { Faults, Mishap } from './network.ts';
import { createSimulation, type Simulation } from './simulation.ts';
import { sometimes } from './sometimes.ts';
import { labelCounter, leaseMs, quietPlan, type Story } from './stories/story.ts';
import { stories } from './stories.ts';

// Files whose statements no running engine sends.
const exemptFiles: Readonly<Record<string, string>> = {
  'migrate.ts': 'runs before anything else, in one transaction under a lock; tests/contracts/store-migrate.test.ts',
  'health.ts': 'only looks',
  'gauges.ts': 'only looks, for the metrics',
  'surroundings.ts': 'only looks',
  'analytics-reads.ts': 'only looks',
  'operators.ts': 'only looks',
  'waiting.ts': 'only looks, and tells operators of a process',
  'pauses.ts': 'nobody there pauses anything; tests/contracts/pauses.test.ts',
  'replays.ts': 'what people ask of a replay, each in one transaction; tests/contracts/replays.test.ts',
  'replay-steps.ts':
    'no engine of the simulation replays; killed at every statement in tests/contracts/replays.test.ts',
  'dead-letter-groups.ts': 'only looks',
  'verify.ts': 'only looks',
  'verify-rows.ts': 'only looks',
  'verify-analytics.ts': 'only looks',
  'rebuilds.ts': 'the role reindex, which no engine runs; tests/contracts/rebuild.contract.ts',
  'documents.ts': 'the search of the simulation is a partner; tests/contracts/search.contract.ts',
  'cleanup.ts': 'removes rows that nobody needs, by one statement at a time; the next round goes on',
};
const exempt: Readonly<Record<string, string>> = {
  'find-end-of-look': 'only looks',
  'count-dead-letters': 'only looks',
  'read-dead-letter': 'only looks',
  'read-dead-letters-ever': 'only looks',
  'correct-email': 'an address, which decides nothing; tests/contracts/store-letters.contract.ts',
  'read-orders': 'only looks, for a page of the search',
  'look-whether-back': 'only looks, where a server was away',
  'look-whether-read-only': 'only looks, on a new connection to a server',
  'read-histories-after': 'only looks, for a rebuild',
};

// After the lease, and after what a takeover needs.
const restMs = leaseMs + 600;
// The longest a statement without an answer is waited for, leases and a few rounds of all of that.
const boundMs = 90_000;

// `forMs`: it happens again whenever the point is reached within this time.
type Case = { readonly what: string; readonly next: string; readonly mishap: Mishap; readonly forMs?: number };
const cases: readonly Case[] = [
  { what: 'crash before', next: 'restart at once', mishap: { at: 'before', what: 'crash', ms: 1 } },
  { what: 'crash before', next: 'restart after the lease', mishap: { at: 'before', what: 'crash', ms: restMs } },
  { what: 'crash before', next: 'zombie wakes', mishap: { at: 'before', what: 'freeze', ms: restMs } },
  { what: 'acted then crashed', next: 'restart at once', mishap: { at: 'after', what: 'crash', ms: 1 } },
  { what: 'acted then crashed', next: 'restart after the lease', mishap: { at: 'after', what: 'crash', ms: restMs } },
  { what: 'acted then crashed', next: 'zombie wakes', mishap: { at: 'after', what: 'freeze', ms: restMs } },
  { what: 'acted, answer lost', next: 'goes on at once', mishap: { at: 'after', what: 'lose' } },
  { what: 'acted, answer lost', next: 'goes on after the lease', mishap: { at: 'after', what: 'silence' } },
  { what: 'acted, answer lost', next: 'zombie wakes', mishap: { at: 'after', what: 'lose', freezesMs: restMs } },
  { what: 'refused', next: 'for longer than a client waits', mishap: { at: 'before', what: 'refuse' }, forMs: 5_000 },
];

type Told = {
  readonly failures: readonly string[];
  readonly reached: ReadonlyMap<string, number>;
  readonly simulation: Simulation;
};

type Strike = { readonly point: string; readonly mishap: Mishap; readonly nth: number; readonly forMs?: number };

// One story with at most one fault: when its point is reached for the nth time.
async function tell(story: Story, fault: Strike | null, keepsLines = false): Promise<Told> {
  const reached = new Map<string, number>();
  const countBefore = labelCounter();
  let isArmed = fault !== null;
  let againUntilMs = 0;
  let nowMs = () => 0;
  let documents = 0;
  const strike = (label: string): Mishap | null => {
    const times = (reached.get(label) ?? 0) + 1;
    reached.set(label, times);
    if (fault === null || label !== fault.point) return null;
    const isFirst = isArmed && times === fault.nth;
    if (!isFirst && nowMs() >= againUntilMs) return null;
    if (isFirst) againUntilMs = nowMs() + (fault.forMs ?? 0);
    isArmed = false;
    return fault.mishap.what === 'refuse' ? { ...fault.mishap, error: () => refusalAt(label) } : fault.mishap;
  };
  const faults: Faults = {
    atCall: (life, label) => strike(label) ?? story.trouble?.(label, countBefore(life, label), nowMs()) ?? null,
    atStatements: (life, labels) => {
      for (const [index, label] of labels.entries()) {
        const struck = strike(label) ?? story.stall?.(label, countBefore(life, label)) ?? null;
        if (struck !== null) return { ...struck, index };
      }
      return null;
    },
    atConnect: () => null,
  };
  const simulation = createSimulation({
    plan: story.plan?.(quietPlan) ?? quietPlan,
    keepsLines,
    faults: (_draws, clock) => {
      nowMs = clock.nowMs;
      return faults;
    },
    rejects: () => story.rejects === true,
    refusesRecall: () => story.refusesRecall === true,
    refusesDocument: () => {
      documents += 1;
      return documents <= (story.documentsRefused ?? 0);
    },
    isNewer: (machine) => story.isNewer?.(machine, nowMs()) ?? false,
    startsAgainAfterMs: () => 100,
  });
  for (const machine of simulation.machines) machine.start();
  await simulation.runFor(10);
  simulation.clients.engage(story.tell(simulation));
  const owed = await simulation.settle(boundMs);
  simulation.judge(owed.length === 0);
  const failures = [
    ...simulation.mistakes(),
    ...owed,
    ...(fault === null ? unmetOf(story, simulation) : []),
    ...(isAnswering(fault) ? complaintsIn(simulation) : []),
    ...(isArmed ? ['the point was not reached'] : []),
    ...simulation.violations.map(({ invariant, orderId, sentence }) => `${invariant}: ${orderId} ${sentence}`),
  ];
  return { failures, reached, simulation };
}

// Where no fault comes in between, the story meets what it is about, and nobody has a reason to complain.
function unmetOf({ meets = [] }: Story, { recorder, world }: Simulation): string[] {
  const unmet = meets
    .filter((name) => !sometimes.find((one) => one.name === name)?.count(recorder.evidence))
    .map((name) => `never happened: ${name}`);
  // What rests in a machine that stops goes back to the bus.
  const isEnded = recorder.evidence.happenings.some(({ what }) => what === 'killed' || what === 'told-to-stop');
  const redelivered = !isEnded && world.counters.all()['the bus redelivered'];
  return [...unmet, ...(redelivered ? ['complained: a message was not taken and came again'] : [])];
}

// Whoever died, and whatever answer was lost: a database that answers gives nobody a reason to complain, unless they
// stand still for so long that their patience is over.
function isAnswering(fault: Strike | null): boolean {
  if (fault === null || fault.mishap.what === 'crash') return true;
  return fault.mishap.what === 'lose' && fault.mishap.freezesMs === undefined;
}
const complaintsIn = ({ recorder }: Simulation) =>
  recorder.evidence.complaints.map(({ message, error }) => `complained: ${message}: ${error}`);

// Without effect, and it may be tried again.
function refusalAt(label: string): Error {
  if (label.startsWith('bus.')) return new Error('the bus refuses the message');
  if (label.includes('.')) return unavailable('The partner is not available.');
  return Object.assign(new Error('the database could not serialize it'), { code: '40001' });
}

function statementsInSource(): string[] {
  const folder = join(import.meta.dirname, '../../src/io/postgres');
  const files = readdirSync(folder).filter((file) => file.endsWith('.ts'));
  const named = files
    .filter((file) => !(file in exemptFiles))
    .flatMap((file) =>
      [...readFileSync(join(folder, file), 'utf8').matchAll(/\/\* ([a-z0-9-]+) \*\//g)].map(({ 1: name = '' }) => name),
    );
  const there = new Set([...files, ...named]);
  const stale = Object.keys({ ...exemptFiles, ...exempt }).filter((name) => !there.has(name));
  if (stale.length > 0) throw new Error(`exempted from the crash matrix, and not there: ${stale.join(', ')}`);
  return named.filter((name) => !(name in exempt));
}

function callsOfPartners(): string[] {
  const nothing = { payments: {}, carrier: {}, mail: {} } as unknown as Partners;
  return Object.entries(boundPartners(nothing, 1, createSystem()))
    .flatMap(([dependency, port]) =>
      Object.entries(port)
        .filter(([, member]) => typeof member === 'function')
        .map(([call]) => `${dependency}.${call}`),
    )
    .concat('search.index');
}

type Way = { readonly story: Story; readonly nth: number };
export type Judged = { readonly name: string; readonly failure: string | null };

// Tells every story without a fault, then with each one. Answers a line per story and per point.
export async function runMatrix(untilFound = false): Promise<Judged[]> {
  const judged: Judged[] = [];
  // The first story that comes by, at its first time, and the last one that does, at its last.
  const waysTo = new Map<string, Way[]>();
  const about = new Map<string, Way>();
  for (const story of stories) {
    const { failures, reached } = await tell(story, null);
    judged.push({ name: `goes well without a fault: ${story.name}`, failure: failures.join('\n') || null });
    if (untilFound && failures.length > 0) return judged;
    if (story.about !== undefined) about.set(story.about, { story, nth: reached.get(story.about) ?? 0 });
    for (const [label, times] of reached) {
      const [first] = waysTo.get(label) ?? [];
      waysTo.set(label, first === undefined ? [{ story, nth: 1 }] : [first, { story, nth: times }]);
    }
  }
  const points = [
    ...statementsInSource(),
    ...[...waysTo.keys()].filter((label) => label.startsWith('COMMIT of ')).sort(),
    ...callsOfPartners(),
    'bus.publish',
    'bus.ack',
  ];
  for (const point of points) {
    const way = about.get(point);
    const failure = await judge(point, [...(waysTo.get(point) ?? []), ...(way === undefined ? [] : [way])]);
    judged.push({ name: `holds at ${point}`, failure });
    if (untilFound && failure !== null) return judged;
  }
  return judged;
}

async function judge(point: string, ways: readonly Way[]): Promise<string | null> {
  if (ways.length === 0) return 'no story comes by: add one to stories.ts, or exempt it with a reason';
  for (const { story, nth } of ways) {
    for (const { what, next, mishap, forMs = 0 } of cases) {
      const { failures, simulation } = await tell(story, { point, mishap, nth, forMs });
      if (failures.length === 0) continue;
      const about = simulation.violations.find((violation) => violation.orderId)?.orderId ?? undefined;
      const again = await tell(story, { point, mishap, nth, forMs }, true);
      const lines = again.simulation.world.trace.lines(about).join('\n');
      return `${what}, ${next}, at time ${nth} in the story "${story.name}":\n${failures.join('\n')}\n${lines}`;
    }
  }
  return null;
}
