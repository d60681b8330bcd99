// How long a fact is left alone yet, where its step gives it a rest (see Step.restMs).
//
// Promises: never longer than the rest, whatever the clock of its maker said, and whatever somebody wrote
// for an id. Relies on ids of facts being UUIDv7, which begin with the millisecond of their making.

export function restLeftMs(eventId: string, restMs: number, now: Date): number {
  if (restMs === 0) return 0;
  const bornMs = Number.parseInt(eventId.slice(0, 8) + eventId.slice(9, 13), 16);
  return Math.max(0, Math.min(restMs, bornMs + restMs - now.getTime()));
}
