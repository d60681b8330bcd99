// A shell outside of this process that ends what this one has started, and removes its scratch directory, whatever
// ends this one: SIGKILL, a crash, Ctrl-C, which passes it by in a session of its own.
//
// Promises: what still runs when the pipe closes gets `signal`, stopped processes included, and SIGKILL where it has
// not ended 5 s later. Relies on Linux or macOS, for a shell and signals.

import { spawn } from 'node:child_process';
import { once } from 'node:events';

export type Guardian = {
  // `+` = it runs, `-` = it has ended.
  readonly tell: (sign: '+' | '-', pid: number) => void;
  readonly end: () => Promise<void>;
};

const script = `
pids=' '
while read -r sign pid; do
  case $sign in +) pids="$pids$pid " ;; *) pids="\${pids%% $pid *} \${pids#* $pid }" ;; esac
done
if [ -n "\${pids## }" ]; then
  kill -"$2" $pids; n=0
  while kill -0 $pids && [ $n -lt 100 ]; do sleep 0.05; n=$((n + 1)); done
  kill -KILL $pids
fi 2>/dev/null
rm -rf "$1" 2>/dev/null || { sleep 1; rm -rf "$1"; }`;

export function createGuardian(directory: string, signal: 'KILL' | 'QUIT'): Guardian {
  const shell = spawn('/bin/sh', ['-c', script, 'orderly-guardian', directory, signal], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  // It keeps this process alive only while somebody waits for its end.
  shell.unref();
  const stdin = shell.stdin as typeof shell.stdin & { readonly unref: () => void };
  stdin.unref();
  const gone = once(shell, 'exit');
  // One that somebody else killed cannot be told anything; what it should remove is then left behind.
  stdin.on('error', () => undefined);
  return {
    tell: (sign, pid) => {
      if (stdin.writable) stdin.write(`${sign} ${pid}\n`);
    },
    end: async () => {
      shell.ref();
      stdin.end();
      await gone;
    },
  };
}
