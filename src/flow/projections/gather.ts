// Gathering: what many ask one by one is done in one call. While a call is under way the next ones queue up
// and go together; when none is, one leaves at once.
//
// Promises: each who asks gets its own answer or error; calls, and what one carries, are bounded; who stops
// waiting is let go, and the call that carries its request goes on.
// Relies on the callers to be bounded in number. Process dies here: nobody was answered.

export type Gathering<Q, A> = (asked: Q, signal: AbortSignal) => Promise<A>;

export function createGathering<Q, A>(options: {
  // In the order of what was asked; an Error is the answer of one.
  readonly call: (asked: readonly Q[]) => Promise<readonly (A | Error)[]>;
  readonly rowsMax: number;
  readonly callsMax: number;
}): Gathering<Q, A> {
  const { call, rowsMax, callsMax } = options;
  type Waiting = {
    readonly asked: Q;
    readonly resolve: (answer: A) => void;
    readonly reject: (error: unknown) => void;
  };
  const queue = new Set<Waiting>();
  let underWay = 0;
  let isScheduled = false;

  // One microtask later, so that those who ask in the same moment travel together.
  function schedule(): void {
    if (isScheduled) return;
    isScheduled = true;
    queueMicrotask(() => {
      isScheduled = false;
      while (queue.size > 0 && underWay < callsMax) void run();
    });
  }

  async function run(): Promise<void> {
    const batch = [...queue].slice(0, rowsMax);
    for (const one of batch) queue.delete(one);
    underWay += 1;
    try {
      const answers = await call(batch.map(({ asked }) => asked));
      batch.forEach(({ resolve, reject }, index) => {
        const answer = answers[index] as A | Error;
        if (answer instanceof Error) reject(answer);
        else resolve(answer);
      });
    } catch (error) {
      for (const { reject } of batch) reject(error);
    } finally {
      underWay -= 1;
      schedule();
    }
  }

  return (asked, signal) =>
    new Promise<A>((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason);
      const letGo = () => {
        queue.delete(one);
        reject(signal.reason);
      };
      const end = () => signal.removeEventListener('abort', letGo);
      const one: Waiting = {
        asked,
        resolve: (answer) => {
          end();
          resolve(answer);
        },
        reject: (error) => {
          end();
          reject(error);
        },
      };
      signal.addEventListener('abort', letGo, { once: true });
      queue.add(one);
      schedule();
    });
}
