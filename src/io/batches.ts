// Cuts what is sent into batches that a broker takes.
//
// Promises: everything once and in its order; no batch has more than `countMax` items, nor more than `bytesMax`
// bytes unless it is a single item: whether that may pass is the broker's to say.

export function batchesOf<T>(
  items: readonly T[],
  limits: { readonly countMax: number; readonly bytesMax: number; readonly bytesOf: (item: T) => number },
): T[][] {
  const { countMax, bytesMax, bytesOf } = limits;
  const batches: T[][] = [];
  let batch: T[] = [];
  let bytes = 0;
  for (const item of items) {
    const size = bytesOf(item);
    if (batch.length === 0 || batch.length === countMax || bytes + size > bytesMax) {
      batch = [];
      batches.push(batch);
      bytes = 0;
    }
    batch.push(item);
    bytes += size;
  }
  return batches;
}
