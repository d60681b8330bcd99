// Chance: every decision is a function of the seed, of what is decided, and of how often it was before.
//
// Promises: no decision depends on how many others were made elsewhere, so that switching one fault off leaves
// the rest of the world's luck as it was. Nothing here is random.

export type Stream = {
  // In [0, 1).
  readonly next: () => number;
  readonly isHit: (probability: number) => boolean;
  // A whole number, both ends included.
  readonly whole: (min: number, max: number) => number;
  readonly between: (min: number, max: number) => number;
  readonly pick: <T>(values: readonly T[]) => T;
  // 32 bits.
  readonly bits: () => number;
};
// The stream of a name; asked again it goes on where it was.
export type Draws = (name: string) => Stream;

// As the last steps of Murmur3: multiply and fold, until every bit of the input reaches every bit of the output.
export function hashOf(seed: number, value: number): number {
  let hash = Math.imul(seed ^ Math.imul(value, 0x9e3779b1), 0x85ebca6b);
  hash ^= hash >>> 16;
  hash = Math.imul(hash, 0x7feb352d);
  hash ^= hash >>> 15;
  hash = Math.imul(hash, 0x846ca68b);
  return (hash ^ (hash >>> 16)) >>> 0;
}

// FNV-1a.
export function hashOfText(text: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index += 1) hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  return hash >>> 0;
}

export function createDraws(seed: number): Draws {
  const low = seed >>> 0;
  const high = Math.floor(seed / 2 ** 32) >>> 0;
  const streams = new Map<string, Stream>();
  return (name) => {
    const known = streams.get(name);
    if (known !== undefined) return known;
    const stream = createStream(hashOf(hashOf(low, high), hashOfText(name)));
    streams.set(name, stream);
    return stream;
  };
}

function createStream(key: number): Stream {
  let occurrence = 0;
  const bits = () => {
    occurrence += 1;
    return hashOf(key, occurrence);
  };
  const next = () => bits() / 2 ** 32;
  const whole = (min: number, max: number) => min + Math.floor(next() * (max - min + 1));
  return {
    next,
    bits,
    isHit: (probability) => probability > 0 && next() < probability,
    whole,
    between: (min, max) => min + next() * (max - min),
    pick: <T>(values: readonly T[]) => values[whole(0, values.length - 1)] as T,
  };
}
