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
