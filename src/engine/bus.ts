// What the engine asks of a bus, and what travels on it.
//
// Promises written at each function: what may be repeated, what is thrown, what silence means. Nothing depends on a
// message: it is a hint, and what it hints at is in the database.

// What travels: opaque bytes with the keys that a broker needs to route and order them.
export type Message = {
  readonly id: string;
  readonly key: string;
  readonly type: string;
  readonly stream: string;
  // CloudEvents 1.0, structured JSON.
  readonly body: Buffer;
};

// What a bus hands over: the bytes, and where they lay (topic, partition, offset, or a message's id).
export type Received = { readonly body: Buffer; readonly at: string };

// Who reads which types: a group shares its messages among its members, and every group gets them all.
export type ReaderGroup = { readonly group: string; readonly types: readonly string[] };

// A bus between processes. A message on it is a hint: losing one costs a fraction of a second, for the truth
// is in the database.
export type Bus = {
  // Resolves when the bus has every message. May be repeated. Throws when any of them may be missing; then all
  // are published again.
  readonly publish: (messages: readonly Message[], signal: AbortSignal) => Promise<void>;
  // Hands over what comes, and acknowledges what it has handed over: `receive` returns at once and never throws.
  readonly subscribe: (
    group: string,
    types: readonly string[],
    receive: (batch: readonly Received[]) => void,
  ) => Promise<Subscription>;
  // How many messages wait unacknowledged for each group that this bus knows. Rejects when the server does
  // not answer in time.
  readonly lag: () => Promise<ReadonlyMap<string, number>>;
  // Whether it is away, and has told the log so. Absent = it tells of nothing.
  readonly isAway?: () => boolean;
  readonly close: () => Promise<void>;
};
// Resolves when `receive` will not be called any more.
export type Subscription = { readonly close: () => Promise<void> };
