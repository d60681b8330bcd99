// One answer for a crowd.
//
// Promises: whoever asks while an answer is being found gets that one, or its failure; the next one after it is new.

export function shared<A>(ask: () => Promise<A>): () => Promise<A> {
  let running: Promise<A> | null = null;
  return () => {
    running ??= ask().finally(() => {
      running = null;
    });
    return running;
  };
}
