// Asks a running API over HTTP, for commands that are its clients.
//
// Promises: an answer, or one sentence that says what is wrong and what to do: nobody there, not allowed, refused and
// why. A call is made once; what changes something says itself whether it may be repeated.

import type { System } from '../engine/ports.ts';
import { StartError } from './start-error.ts';

// A page that is read by a person comes within seconds or not at all.
const answerMs = 10_000;

type Problem = { title?: string; detail?: string; errors?: { pointer?: string; name?: string; detail: string }[] };
export type Ask = <A>(method: 'GET' | 'POST', path: string, body?: object) => Promise<A>;

export function createAsk(options: {
  readonly url: string;
  readonly token: string | null;
  readonly system: Pick<System, 'after'>;
}): Ask {
  const { url, token, system } = options;
  return async <A>(method: 'GET' | 'POST', path: string, body?: object) => {
    const late = new AbortController();
    const timer = system.after(answerMs, () => late.abort());
    try {
      const response = await fetch(new URL(path, url), {
        method,
        headers: {
          accept: 'application/json',
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          ...(token === null ? {} : { authorization: `Bearer ${token}` }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        signal: late.signal,
      });
      const answer = (await response.json()) as A & Problem;
      if (response.ok) return answer;
      const more = (answer.errors ?? []).map((one) => ` (${one.pointer ?? one.name}: ${one.detail})`).join('');
      throw new StartError(
        `${url} answers ${response.status}: ${answer.detail ?? answer.title ?? 'no reason given'}${more}`,
      );
    } catch (error) {
      if (error instanceof StartError) throw error;
      throw new StartError(
        `No API answers at ${url}: start one, or set HOST and PORT, or ORDERLY_URL, to where it listens.`,
      );
    } finally {
      timer.cancel();
    }
  };
}

// Where the API listens by the settings of this machine.
export function urlOf({ url, host, port }: { url: string | null; host: string; port: number }): string {
  if (url !== null) return url;
  const name = host === '0.0.0.0' || host === '::' ? 'localhost' : host.includes(':') ? `[${host}]` : host;
  return `http://${name}:${port}`;
}
