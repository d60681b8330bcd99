// The kinds of settings: how one value is checked, and how a mistake in it is worded.
//
// Promises: a broken rule says what is allowed, and the nearest allowed word where there is one; what may
// hold a password is quoted without it, or not at all.
// Relies on nothing: config.ts names the settings and gathers the mistakes.

// A Node timer of more milliseconds than this fires at once.
export const timerMaxMs = 2 ** 31 - 1;

// A value, or the rule that was broken. `shown` is how a mistake may quote what was given.
type Reading<T> = { readonly value: T } | { readonly rule: string; readonly shown?: string };
export type Setting<T> = {
  // Null = absent: the meaning says what happens then.
  readonly initial: T;
  readonly meaning: string;
  readonly read: (text: string) => Reading<T>;
  // How a value may be shown. Absent = as it is.
  readonly shown?: (value: unknown) => string;
};

export function text<I extends string | null>(
  initial: I,
  pattern: RegExp,
  allowed: string,
  meaning: string,
): Setting<I | string> {
  return {
    initial,
    meaning,
    read: (given) => (pattern.test(given) ? { value: given } : { rule: `must be ${allowed}` }),
  };
}

export function whole<I extends number | null>(
  initial: I,
  min: number,
  max: number,
  meaning: string,
): Setting<I | number> {
  const rule = `must be a whole number from ${min} to ${max}`;
  const isRight = (given: string) => /^\d+$/.test(given) && Number(given) >= min && Number(given) <= max;
  return { initial, meaning, read: (given) => (isRight(given) ? { value: Number(given) } : { rule }) };
}

export function share(initial: number, meaning: string): Setting<number> {
  const isRight = (given: string) => /^\d*\.?\d+$/.test(given) && Number(given) <= 1;
  const rule = 'must be a number from 0 to 1, such as 0.05';
  return { initial, meaning, read: (given) => (isRight(given) ? { value: Number(given) } : { rule }) };
}

// Never quoted: every value is allowed.
export function secret(meaning: string): Setting<string | null> {
  return { initial: null, meaning, read: (given) => ({ value: given }), shown: () => '***' };
}

// One, of the operator `operator`, or several with names, separated by commas; never quoted.
type Token = { readonly name: string; readonly token: string };
export function tokens(meaning: string): Setting<readonly Token[] | null> {
  const rule =
    'must be one token, or name=token separated by commas: names of at most 32 letters, digits, - and _, each once; ' +
    'tokens of 16 to 512 visible characters without commas';
  const read = (given: string) => {
    const value = given.split(',').map((one) => {
      const [, name = 'operator', token = ''] = /^(?:([\w-]{1,32})=)?([!-+\--~]{16,512})$/.exec(one.trim()) ?? [];
      return { name, token };
    });
    const isRight =
      value.every(({ token }) => token !== '') && new Set(value.map(({ name }) => name)).size === value.length;
    return isRight ? { value } : { rule, shown: '(not shown)' };
  };
  const shown = (value: unknown) => (value as Token[]).map(({ name }) => `${name}=***`).join(',');
  return { initial: null, meaning, read, shown };
}

export function flag(initial: boolean, meaning: string): Setting<boolean> {
  const { read } = oneOf(null, ['true', 'false'], meaning);
  return {
    initial,
    meaning: `${meaning}: true | false`,
    read: (given) => {
      const reading = read(given);
      return 'value' in reading ? { value: reading.value === 'true' } : reading;
    },
  };
}

// Separated by commas; blanks around an item are none of it.
export function list(
  initial: readonly string[],
  isRight: (item: string) => boolean,
  allowed: string,
  meaning: string,
): Setting<readonly string[]> {
  const read = (given: string) => {
    const items = given.split(',').map((one) => one.trim());
    return items.every(isRight) ? { value: items } : { rule: `must be ${allowed}` };
  };
  return { initial, meaning, read };
}

export function oneOf<const V extends string, I extends NoInfer<V> | null>(
  initial: I,
  allowed: readonly V[],
  meaning: string,
): Setting<I | V> {
  const words = allowed.join(' | ');
  const read = (given: string): Reading<V> => {
    const value = allowed.find((candidate) => candidate === given);
    if (value !== undefined) return { value };
    return { rule: `must be ${words}${didYouMean(given, allowed)}` };
  };
  return { initial, meaning: `${meaning}: ${words}`, read };
}

// `parameters` says of a query parameter what is wrong with it, or null: one that nobody reads must not pass for
// one that is heeded.
export function url<I extends string | null>(
  initial: I,
  format: {
    readonly schemes: readonly string[];
    readonly example: string;
    readonly path?: RegExp;
    readonly parameters?: (name: string, value: string) => string | null;
  },
  meaning: string,
): Setting<I | string> {
  const { schemes, example, path = /^/, parameters = () => null } = format;
  const rule = `must be a URL such as ${example}, with special characters percent-encoded`;
  const read = (given: string): Reading<string> => {
    const unshown = { rule, shown: '(not shown, it may hold a password)' };
    if (!isUrl(given)) return unshown;
    if (!schemes.some((scheme) => given.startsWith(`${scheme}://`))) {
      return {
        rule: `must begin with ${schemes.map((scheme) => `${scheme}://`).join(' or ')}`,
        shown: withoutSecrets(given),
      };
    }
    const { pathname, searchParams } = new URL(given);
    for (const [name, value] of searchParams) {
      const mistake = parameters(name, value);
      if (mistake !== null) return { rule: mistake, shown: withoutSecrets(given) };
    }
    return path.test(pathname) ? { value: given } : unshown;
  };
  return { initial, meaning, read, shown: (value) => withoutSecrets(String(value)) };
}

// None is read at all.
export const noParameters = (name: string) => `has the parameter ${quote(name)}, and takes none`;

function isUrl(given: string): boolean {
  try {
    const { username, password, pathname } = new URL(given);
    // The driver decodes them too, and would throw in the middle of the start.
    decodeURIComponent(username + password + pathname);
    return given.includes('://');
  } catch {
    return false;
  }
}

// Scheme, host and path; user, password and parameters stay unsaid.
export function withoutSecrets(given: string): string {
  const { protocol, username, password, host, pathname } = new URL(given);
  return `${protocol}//${username || password ? '***@' : ''}${host}${pathname}`;
}

// A value in quotes, so that blanks show; cut where it is long, and never with somebody's password.
export function quote(given: string): string {
  return JSON.stringify(given.replace(/\S*@/g, '***@').slice(0, 80));
}

// The nearest name, where near means a slip of the fingers: three in ten letters at most.
export function didYouMean(given: string, candidates: readonly string[]): string {
  const near = candidates
    .map((name) => ({ name, distance: distanceBetween(given.toLowerCase(), name.toLowerCase()) }))
    .filter(({ name, distance }) => distance <= Math.max(2, given.length * 0.3) || given.startsWith(name))
    .sort((a, b) => a.distance - b.distance);
  return near[0] ? `; did you mean ${near[0].name}?` : '';
}

// How many letters must be added, removed or replaced to turn one word into the other (Levenshtein).
function distanceBetween(from: string, to: string): number {
  let row = [...to, ''].map((_, column) => column);
  for (const [index, deadLetter] of [...from].entries()) {
    const next = [index + 1];
    for (const [column, other] of [...to].entries()) {
      const [replaced = 0, removed = 0, added = 0] = [row[column], row[column + 1], next[column]];
      next.push(Math.min(deadLetter === other ? replaced : replaced + 1, removed + 1, added + 1));
    }
    row = next;
  }
  return row.at(-1) ?? 0;
}
