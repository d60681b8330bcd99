// Events of older versions, read as the newest: what was written years ago stays readable.
//
// Promises: a consumer sees only the newest version of a type; a chain leads there from version 1, one
// link per version, each a pure function of the data; no link is ever changed or removed, and a stored
// fixture of every version ever written goes through it in the tests.

type Data = Readonly<Record<string, unknown>>;
export type Upcast = (data: Data) => Data;

// By the type's name without version: the link at index n leads from version n + 1 to n + 2. A type
// whose first version is the newest needs no entry.
export type UpcastChains = Readonly<Record<string, readonly Upcast[]>>;
const chains: UpcastChains = {};

function split(type: string): { readonly name: string; readonly version: number } {
  const [, name = type, version = '1'] = /^(.+)V(\d+)$/.exec(type) ?? [];
  return { name, version: Number(version) };
}

// The event at its newest version; as it is where this release knows no newer one, or not even this one.
export function upcast(type: string, data: Data, known: UpcastChains = chains): { type: string; data: Data } {
  const { name, version } = split(type);
  const links = (known[name] ?? []).slice(version - 1);
  if (links.length === 0) return { type, data };
  return { type: `${name}V${version + links.length}`, data: links.reduce((older, link) => link(older), data) };
}

// All versions of a type up to this one: what a consumer of the newest must be given.
export function versionsUpTo(type: string): string[] {
  const { name, version } = split(type);
  return Array.from({ length: version }, (_, index) => `${name}V${index + 1}`);
}
