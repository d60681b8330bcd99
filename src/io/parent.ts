// The process that started this one, where it keeps a channel to it: `start --processes`, or any other
// that forks with one. Without a parent that listens nothing happens here.
//
// Promises: a parent that dies in any way, kill -9 included, leaves no process behind that works on
// unseen: its end is told at once, by the kernel closing the channel. Keeps no process alive.

export type Ready = { readonly ready: true; readonly url: string | null };

export function tellReady(url: string | null): void {
  // A parent that has just died hears nothing any more; `whenParentGone` says so.
  if (process.connected) process.send?.({ ready: true, url } satisfies Ready, () => {});
}

export function whenParentGone(call: () => void): void {
  if (!process.connected) return;
  process.once('disconnect', call);
  process.channel?.unref();
}
