// A mail server for a test, as a process of its own: smtp-server on real sockets, told how to behave and asked what
// it got. Run by itself the file is that process; imported, it starts it.
//
// Promises: `kill9` ends it as a crash does, its connections with it; when the test dies, it goes too.
// Relies on the channel between parent and child for what is told.

import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { SMTPServer, type SMTPServerOptions, type SMTPServerSession } from 'smtp-server';

// Null, or what each step of SMTP is answered with. `silence` = never; `cut` = the connection is torn down.
type Answer = number | 'silence' | 'cut';
export type SmtpBehavior = {
  readonly sender?: Answer;
  readonly recipient?: Answer;
  // Once the whole message is there.
  readonly message?: Answer;
  // As `user:password`; who comes with another is refused in words that hold the password.
  readonly login?: string;
  readonly starttls?: { readonly key: string; readonly cert: string };
};
export type SmtpSeen = {
  readonly connections: number;
  // Where in a conversation it is now, or was last.
  readonly last: 'sender' | 'recipient' | 'message' | null;
  readonly messages: readonly {
    readonly raw: string;
    readonly recipients: readonly string[];
    readonly secure: boolean;
  }[];
};
type Asked = { readonly ask: 'seen' | 'hang-up' } | { readonly ask: 'behave'; readonly behavior: SmtpBehavior };

export type SmtpProcess = {
  readonly port: number;
  readonly seen: () => Promise<SmtpSeen>;
  readonly behave: (behavior: SmtpBehavior) => Promise<void>;
  // Ends every connection, as a server does with those that were quiet for long.
  readonly hangUp: () => Promise<void>;
  readonly kill9: () => Promise<void>;
};

export async function startSmtp(behavior: SmtpBehavior = {}): Promise<SmtpProcess> {
  const child: ChildProcess = fork(import.meta.filename, [JSON.stringify(behavior)]);
  const ended = once(child, 'exit');
  const [port] = await Promise.race([
    once(child, 'message'),
    ended.then(([code]) => Promise.reject(new Error(`the mail server ended with ${code}`))),
  ]);
  const ask = async (asked: Asked): Promise<SmtpSeen> => {
    const answer = once(child, 'message');
    child.send(asked);
    return (await answer)[0];
  };
  return {
    port,
    seen: () => ask({ ask: 'seen' }),
    behave: async (other) => void (await ask({ ask: 'behave', behavior: other })),
    hangUp: async () => void (await ask({ ask: 'hang-up' })),
    kill9: async () => {
      child.kill('SIGKILL');
      await ended;
    },
  };
}

// The server's own view of who is connected.
type Connection = {
  readonly id: string;
  readonly close: () => void;
  readonly _socket: { readonly destroy: () => void };
};

function serve(given: SmtpBehavior): void {
  let behavior = given;
  let connections = 0;
  let last: SmtpSeen['last'] = null;
  const messages: SmtpSeen['messages'][number][] = [];
  const connected = () => (server as unknown as { connections: Set<Connection> }).connections;

  function answer(answered: Answer | undefined, { id }: SMTPServerSession, done: (error?: Error) => void): void {
    if (answered === undefined) return done();
    if (answered === 'silence') return;
    if (answered !== 'cut') return done(Object.assign(new Error('no'), { responseCode: answered }));
    for (const one of connected()) if (one.id === id) one._socket.destroy();
  }

  const options: SMTPServerOptions = {
    authOptional: given.login === undefined,
    allowInsecureAuth: true,
    closeTimeout: 10,
    ...(given.starttls ?? { disabledCommands: ['STARTTLS'] }),
    onConnect: (_session, done) => {
      connections += 1;
      done();
    },
    onAuth: ({ username, password }, _session, done) => {
      if (`${username}:${password}` === behavior.login) return done(null, { user: username });
      done(Object.assign(new Error(`not ${password}`), { responseCode: 535 }));
    },
    onMailFrom: (_address, session, done) => {
      last = 'sender';
      answer(behavior.sender, session, done);
    },
    onRcptTo: (_address, session, done) => {
      last = 'recipient';
      answer(behavior.recipient, session, done);
    },
    onData: (stream, session, done) => {
      const keep = async () => {
        const raw = (await buffer(stream)).toString('latin1');
        const recipients = session.envelope.rcptTo.map(({ address }) => address);
        messages.push({ raw, recipients, secure: session.secure });
        last = 'message';
        answer(behavior.message, session, done);
      };
      keep().catch(done);
    },
  };
  const server = new SMTPServer(options);
  server.on('error', () => {});
  server.listen(0, '127.0.0.1', () => process.send?.((server.server.address() as AddressInfo).port));
  process.on('message', (asked: Asked) => {
    if (asked.ask === 'behave') behavior = asked.behavior;
    if (asked.ask === 'hang-up') for (const one of connected()) one.close();
    process.send?.({ connections, last, messages } satisfies SmtpSeen);
  });
  process.on('disconnect', () => process.exit());
}

if (import.meta.main) serve(JSON.parse(process.argv[2] ?? '{}') as SmtpBehavior);
