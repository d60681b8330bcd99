// The drawn faults: at each border the seed says whether something happens there, and what.
//
// Promises: one draw per border, out of a stream of its own per machine and call, and one for all its statements, so
// that more faults in one place do not move the others. Rounds in which an idle engine only looks meet a tenth of them: faults belong
// where something is at stake. After `heal` nothing happens any more.

import { broken, refused, throttled, unavailable, withoutEffect } from '../../src/io/partners/troubles.ts';
import type { Clock } from './clock.ts';
import type { Draws, Stream } from './draws.ts';
import type { Life } from './life.ts';
import type { Faults, Mishap } from './network.ts';
import type { FaultClass, Plan } from './plan.ts';

export type Dependency = 'payments' | 'carrier' | 'mail' | 'search';
export type DrawnFaults = Faults & {
  readonly heal: () => void;
  readonly awayFor: (dependency: Dependency, ms: number) => void;
};

// What the engine repeats while it has nothing to do.
const looks = new Set([
  'find-due',
  'lock-orders-of-due-jobs',
  'read-events',
  'hold-cursor',
  'renew-leases',
  'find-lost-leases',
]);
// No crash, silence or freeze of the world lasts longer; a frozen one sleeps past most leases.
const freezeMsMax = 6_000;
const lateMsMax = 8_000;
// A death around an outside call is this much more frequent than one around a statement.
const callsWeigh = 4;

type Choice = readonly [probability: number, toMishap: (luck: Stream) => Mishap];

const refusals = ['40001', '40P01', '57014', '53100', '53300', '57P03'];
const sqlError = (code: string) => () => Object.assign(new Error(`the database answered ${code}`), { code });

// What the operating system says of a broken connection, where it says anything.
const socketErrors = ['EPIPE', 'ECONNRESET', 'ETIMEDOUT', null];
function socketError(luck: Stream): Pick<Mishap, 'error'> {
  const code = luck.pick(socketErrors);
  return code === null ? {} : { error: () => Object.assign(new Error(`the connection: ${code}`), { code }) };
}

export function createDrawnFaults(plan: Plan, draws: Draws, clock: Clock): DrawnFaults {
  const { faults } = plan;
  const awayUntilMs = new Map<string, number>();
  let isHealed = false;

  const chance = (name: FaultClass) => faults[name];
  const freezeMs = (luck: Stream) => (luck.isHit(0.7) ? luck.between(50, 800) : luck.between(800, freezeMsMax));
  const everywhere: readonly Choice[] = [
    [chance('crashBefore'), () => ({ at: 'before', what: 'crash' })],
    [chance('crashAfter'), () => ({ at: 'after', what: 'crash' })],
    [chance('freezeBefore'), (luck) => ({ at: 'before', what: 'freeze', ms: freezeMs(luck) })],
    [chance('freezeAfter'), (luck) => ({ at: 'after', what: 'freeze', ms: freezeMs(luck) })],
  ];
  // An order is called about once or twice, and written of by dozens of statements.
  const atCalls = everywhere.map(([probability, toMishap]): Choice => [probability * callsWeigh, toMishap]);
  const atStatements: readonly Choice[] = [
    ...everywhere,
    [
      chance('statementLost'),
      (luck) => ({ at: 'before', what: 'lose', isHalfOpen: luck.isHit(0.1), ...socketError(luck) }),
    ],
    [chance('statementAnswerLost'), (luck) => ({ at: 'after', what: 'lose', ...socketError(luck) })],
    [chance('statementLate'), (luck) => ({ at: 'before', what: 'silence', ms: luck.between(5, 3_000) })],
    [chance('statementAnswerSilent'), () => ({ at: 'after', what: 'silence' })],
    [chance('statementRefused'), (luck) => ({ at: 'before', what: 'refuse', error: sqlError(luck.pick(refusals)) })],
  ];
  const atPartners: readonly Choice[] = [
    ...atCalls,
    [
      chance('partnerAway'),
      () => ({ at: 'before', what: 'refuse', error: () => unavailable('The partner is not available.') }),
    ],
    [
      chance('partnerThrottles'),
      (luck) => {
        const askedMs = luck.isHit(0.3) ? null : luck.whole(1, 1_500);
        return { at: 'before', what: 'refuse', error: () => throttled(askedMs) };
      },
    ],
    [
      chance('partnerFails'),
      () => ({
        at: 'before',
        what: 'refuse',
        error: () => withoutEffect('partner-failed', 'The partner could not take the call.'),
      }),
    ],
    [
      chance('partnerRefuses'),
      () => ({
        at: 'before',
        what: 'refuse',
        error: () =>
          refused('partner-refused', 'The partner\u0000 refuses this call for good, in words that no database takes.'),
      }),
    ],
    [chance('partnerLost'), (luck) => ({ at: luck.isHit(0.5) ? 'before' : 'after', what: 'lose' })],
    [
      chance('partnerBreaks'),
      () => ({
        at: 'after',
        what: 'refuse',
        error: () => broken('malformed-answer', 'The answer of the partner is not of the agreed shape.'),
      }),
    ],
    [chance('partnerSilent'), () => ({ at: 'before', what: 'silence' })],
    [chance('partnerSilentAfter'), () => ({ at: 'after', what: 'silence' })],
    [chance('partnerLate'), (luck) => ({ at: 'before', what: 'silence', landsAfterMs: luck.between(10, lateMsMax) })],
  ];
  const atPublish: readonly Choice[] = [
    ...everywhere,
    [
      chance('publishRefused'),
      () => ({ at: 'before', what: 'refuse', error: () => new Error('the bus refuses the messages') }),
    ],
    [chance('publishAnswerLost'), () => ({ at: 'after', what: 'lose' })],
  ];

  const factorNow = () => {
    const nowMs = clock.nowMs();
    let factor = 1;
    for (const burst of plan.bursts)
      if (nowMs >= burst.fromMs && nowMs < burst.toMs) factor = Math.max(factor, burst.factor);
    return factor;
  };

  function choose(choices: readonly Choice[], luck: Stream, factor: number): Mishap | null {
    let drawn = luck.next();
    for (const [probability, toMishap] of choices) {
      // Even in a burst no single fault is certain, or nothing would ever go on.
      const share = Math.min(0.6, probability * factor);
      if (drawn < share) return toMishap(luck);
      drawn -= share;
    }
    return null;
  }

  const streamOf = (life: Life, label: string) => draws(`${life.machine} ${label} faults`);

  return {
    heal: () => {
      isHealed = true;
    },
    awayFor: (dependency, ms) => void awayUntilMs.set(dependency, clock.nowMs() + ms),
    atCall: (life, label) => {
      if (isHealed) return null;
      if (label.startsWith('bus.'))
        return choose(label === 'bus.publish' ? atPublish : everywhere, streamOf(life, label), factorNow());
      const awayMs = awayUntilMs.get(label.slice(0, label.indexOf('.'))) ?? 0;
      if (clock.nowMs() < awayMs) {
        const error = () => unavailable('The partner cannot be reached.');
        return { at: 'before', what: 'refuse', error };
      }
      return choose(atPartners, streamOf(life, label), factorNow());
    },
    atStatements: (life, labels) => {
      if (isHealed) return null;
      const isLook = labels.some((label) => looks.has(label)) || labels[0] === 'COMMIT of read-events';
      const luck = streamOf(life, 'statements');
      const mishap = choose(atStatements, luck, isLook ? 0.1 : factorNow());
      return mishap === null ? null : { ...mishap, index: luck.whole(0, labels.length - 1) };
    },
    atConnect: (life) => {
      if (isHealed) return null;
      const luck = streamOf(life, 'connect');
      if (luck.isHit(chance('connectRefused'))) return 'refused';
      return luck.isHit(chance('connectSilent')) ? 'silence' : null;
    },
  };
}
