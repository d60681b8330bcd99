// Requests of the console to the HTTP interface, the same that programs use.
//
// Promises: whatever goes wrong is a Problem with a sentence for a person; nobody waits longer than the time below.
// Who has no session is led to the form, and back to where they were.

const timeoutMs = 15_000;

export class Problem extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

export const read = (path, query = {}) => request('GET', withQuery(path, query));
export const send = (path, body) => request('POST', path, body);

// Members without a value are left out.
export function withQuery(path, query) {
  const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== null && value !== '');
  return given.length === 0 ? path : `${path}?${new URLSearchParams(given)}`;
}

// Several at once: each becomes its answer, or the Problem in its place, so that one does not hide the others.
export async function readAll(asked) {
  const answered = Object.entries(asked).map(async ([name, promise]) => [name, await promise.catch((error) => error)]);
  return Object.fromEntries(await Promise.all(answered));
}

async function request(method, path, body) {
  const headers = { accept: 'application/json', ...(body === undefined ? {} : { 'content-type': 'application/json' }) };
  const init = { method, headers, signal: AbortSignal.timeout(timeoutMs) };
  let answer;
  try {
    answer = await fetch(path, body === undefined ? init : { ...init, body: JSON.stringify(body) });
  } catch {
    throw new Problem(0, 'no-answer', 'Orderly does not answer. Is it running, and is this machine connected?');
  }
  if (answer.status === 401) {
    location.assign(`/login?next=${encodeURIComponent(`/console${location.hash}`)}`);
    return new Promise(() => {});
  }
  const answered = await answer.json().catch(() => ({}));
  if (answer.ok) return answered;
  throw new Problem(answer.status, answered.code, sentenceOf(answer.status, answered));
}

function sentenceOf(status, { code, detail, errors = [] }) {
  if (code === 'not-found') return 'The Orderly that answers here does not have this yet.';
  const mistakes = errors.map((one) => `${one.name ?? one.pointer?.replace(/^#\//, '') ?? ''} ${one.detail}`.trim());
  return [detail ?? `The request failed with status ${status}.`, ...mistakes].join(' ');
}
