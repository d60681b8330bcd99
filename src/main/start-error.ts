// A reason not to start that its reader can do something about.
//
// Promises: its message is one sentence saying what, where and what to do. The command prints it without
// a stack and exits with 2.

export class StartError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'StartError';
  }
}

// A port that a role cannot have, for whatever reason; `setting` is the one that names it.
export function cannotListen(error: unknown, at: { host: string; port: number; setting: string }): StartError {
  const { code, message } = error as { code?: string; message: string };
  const where = `Port ${at.port} on ${at.host}`;
  if (code !== 'EADDRINUSE') return new StartError(`${where} cannot be listened on: ${message}.`);
  return new StartError(`${where} is taken: set ${at.setting} to another one, or to 0 for any that is free.`);
}
