// The seat of one process: whoever dies on it is followed by a new one with the same settings, as a
// platform does, until the seat is closed.
//
// States: `down` nobody sits there · `starting` begun, not ready · `running` · `frozen` · `stopping` told
// to stop in order · `dying` killed, not gone yet. A blow that needs another state waits for it: each lands.
// Promises: a process that ends unasked, or stops in order with another code than 0, is a defect; only a
// start that finds no database may end with 2, and is repeated.

import { setTimeout as pause } from 'node:timers/promises';
import type { Begun } from '../support/process.ts';
import { until } from '../support/until.ts';

export type SeatState = 'down' | 'starting' | 'running' | 'frozen' | 'stopping' | 'dying';
export type Seat = {
  readonly name: string;
  readonly state: () => SeatState;
  // Where the last one that was ready listened; it may be gone.
  readonly url: () => string | null;
  // SIGKILL, whatever it is at; resolves when it is gone, with the state it had.
  readonly kill: (downMs: number) => Promise<SeatState>;
  // SIGSTOP, and SIGCONT after so long, unless it was killed meanwhile; resolves then.
  readonly freeze: (lastsMs: number) => Promise<void>;
  // SIGTERM; resolves when it is gone.
  readonly stop: (downMs: number) => Promise<void>;
  readonly isRunning: () => Promise<void>;
  // All that its processes have said, one after the other.
  readonly said: () => string;
  // Nobody follows any more; who sits there is left to whoever began it.
  readonly close: () => void;
};

// Another process holds back what is awaited for as long as it is frozen or down, and machines are busy.
const patienceMs = 120_000;
// Between a start that was refused and the next.
const againMs = 300;
// Enough for a stack beside the lines before it.
const lastWordsLength = 3_000;

export function createSeat(options: {
  readonly name: string;
  readonly begin: (patienceMs: number) => Begun;
  readonly tell: (event: string) => void;
  readonly onDefect: (what: string, lastWords?: string) => void;
}): Seat {
  const { name, begin, tell, onDefect } = options;
  const said: (() => string)[] = [];
  let state: SeatState = 'down';
  let url: string | null = null;
  let current: Begun | null = null;
  let asked: 'nothing' | 'kill' | 'stop' = 'nothing';
  let nextDownMs = 0;
  let isClosed = false;

  function change(to: SeatState): void {
    state = to;
    tell(`${name} is ${to}`);
  }

  function follow(): Begun {
    const one = begin(patienceMs);
    said.push(one.said);
    current = one;
    asked = 'nothing';
    nextDownMs = 0;
    return one;
  }

  async function sit(): Promise<void> {
    const one = follow();
    let wasReady = false;
    change('starting');
    one.ready.then(
      (running) => {
        wasReady = true;
        url = running.url;
        if (state === 'starting' && current === one) change('running');
      },
      () => {
        if (!isClosed && state === 'starting' && current === one) onDefect(`${name} does not become ready`);
      },
    );
    const { code } = await one.ended;
    const lastWords = one.said().slice(-lastWordsLength);
    if (isClosed) return;
    const isRefused = asked === 'nothing' && !wasReady && code === 2;
    if (asked === 'nothing' && !isRefused) onDefect(`${name} ended by itself with code ${code}`, lastWords);
    if (asked === 'stop' && code !== 0) onDefect(`${name} was told to stop and ended with code ${code}`, lastWords);
    change('down');
    await pause(isRefused ? againMs : nextDownMs);
  }

  async function keep(): Promise<void> {
    while (!isClosed) await sit();
  }
  keep().catch((error) => onDefect(`${name} cannot be kept: ${error}`));

  // The blow falls in the very moment in which the state is seen: no two fall on one state.
  const strike = (wanted: readonly SeatState[], what: string, blow: (one: Begun) => void) => {
    const look = () => {
      if (current === null || !wanted.includes(state)) return null;
      blow(current);
      return current;
    };
    return until(look, `${name} to be ${what}`, { patienceMs });
  };

  return {
    name,
    state: () => state,
    url: () => url,
    kill: async (downMs) => {
      let met: SeatState = state;
      const one = await strike(['starting', 'running', 'frozen', 'stopping'], 'there', (there) => {
        met = state;
        asked = 'kill';
        nextDownMs = downMs;
        there.signal('SIGKILL');
        change('dying');
      });
      await one.ended;
      return met;
    },
    freeze: async (lastsMs) => {
      const one = await strike(['running'], 'running', (running) => {
        running.signal('SIGSTOP');
        change('frozen');
      });
      await pause(lastsMs);
      one.signal('SIGCONT');
      if (current === one && state === 'frozen') change('running');
    },
    stop: async (downMs) => {
      const one = await strike(['running'], 'running', (running) => {
        asked = 'stop';
        nextDownMs = downMs;
        running.signal('SIGTERM');
        change('stopping');
      });
      await one.ended;
    },
    isRunning: async () => void (await strike(['running'], 'running', () => undefined)),
    said: () => said.map((one) => one()).join(''),
    close: () => {
      isClosed = true;
    },
  };
}
