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

// Its answer, or the Problem in its place, so that the rest of a page can still be drawn.
export const attempt = (path, query) => read(path, query).catch((error) => error);
// Several, one after the other: a page that is open all day is one reader, and not a crowd.
export async function readAll(asked) {
  const answers = {};
  for (const [name, [path, query]] of Object.entries(asked)) answers[name] = await attempt(path, query);
  return answers;
}

async function request(method, path, body) {
  const headers = { accept: 'application/json', ...(body === undefined ? {} : { 'content-type': 'application/json' }) };
  const init = { method, headers, signal: AbortSignal.timeout(timeoutMs) };
  let answer;
  let text;
  try {
    answer = await fetch(path, body === undefined ? init : { ...init, body: JSON.stringify(body) });
    text = await answer.text();
  } catch {
    throw new Problem(0, 'no-answer', 'Orderly does not answer. Is it running, and is this machine connected?');
  }
  if (answer.status === 401) {
    location.assign(`/login?next=${encodeURIComponent(`/console${location.hash}`)}`);
    return new Promise(() => {});
  }
  const answered = parsed(text);
  if (answer.ok && answered !== null) return answered;
  throw new Problem(answer.status, answered?.code, sentenceOf(answer.status, answered ?? {}));
}

// Null where it is none of ours, such as a page of a gateway.
function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function sentenceOf(status, { code, detail, errors = [] }) {
  if (code === 'not-found') return 'The Orderly that answers here does not have this yet.';
  const mistakes = errors.map((one) => `${one.name ?? one.pointer?.replace(/^#\//, '') ?? ''} ${one.detail}`.trim());
  return mistakes.length > 0 ? `${mistakes.join('; ')}.` : (detail ?? `The request failed with status ${status}.`);
}
