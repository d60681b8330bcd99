// What the five servers have in common: the shape in which each of them is described, and the names.
//
// A description promises: its address is a value that the product's own setting takes; `check` rejects,
// within seconds, unless the server has answered whole requests of the client that the product uses; the
// two ways to run it lead to the same server with the same address.

export const serverNames = ['postgres', 'kafka', 'redis', 'sqs', 'elasticsearch'] as const;
export type ServerName = (typeof serverNames)[number];

export type Server = {
  readonly name: ServerName;
  readonly title: string;
  // The setting of the product that holds the address.
  readonly setting: string;
  readonly port: number;
  // What downloads and a day of tests take at most.
  readonly spaceMb: number;
  readonly hasPassword?: true;
  readonly addressOf: (port: number, password: string) => string;
  // What a client needs besides the address, where the surroundings do not say it.
  readonly besides?: Readonly<Record<string, string>>;
  // `read` leaves no trace, for a server that may be somebody else's; `write` is for one just started here.
  readonly check: (address: string, depth: 'read' | 'write') => Promise<void>;
  // Fetches what is missing and prepares the data; may be repeated, also after it died in the middle.
  readonly fromPackages: (place: Place) => Promise<Launch>;
  readonly fromDocker: (place: Place) => Promise<Container>;
};

// Where a server lives. The directory is its own; downloads are shared and survive everything.
export type Place = {
  readonly directory: string;
  readonly downloads: string;
  readonly port: number;
  readonly password: string;
  // False when the machine was restarted since: no process that the data speaks of can still be there.
  readonly mayHaveOrphans: boolean;
  readonly say: (text: string) => void;
};

// For what is only fetched.
export type Downloads = Pick<Place, 'downloads' | 'say'>;

export type Launch = {
  readonly command: string;
  readonly args: readonly string[];
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly identity?: { readonly uid: number; readonly gid: number };
  // SIGTERM unless the server means something slower by it.
  readonly stopSignal?: 'SIGTERM' | 'SIGINT';
  // Whether an early end, judged by the log, passes by itself.
  readonly isPassing?: (log: string) => boolean;
};

export type Container = {
  readonly image: string;
  readonly innerPort: number;
  // The folder of the image that outlives the container, as a volume.
  readonly volume: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly files?: Readonly<Record<string, string>>;
  readonly args?: readonly string[];
};

// An address as it may be shown: without its password.
export function shown(address: string): string {
  return address.replace(/(:\/\/[^:/@]*):[^@/]*@/, '$1:…@');
}
