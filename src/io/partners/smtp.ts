// Mail by SMTP: the port `Mail` for a server that the customer's message is handed to.
//
// Promises: nothing but OutsideError is thrown, and its class says what may have happened. Until the message itself
// is under way nothing was sent; from there to the server's answer it may have been, and SMTP has no key by which
// to ask. 4xx = later, 5xx = no for good; a server that is not there, or refuses us as a whole, is down.
// The Message-ID is made from the key, so that whoever looks can recognize a message that came twice.
// Relies on nodemailer's connection, one message at a time; its own pool cannot say how far a message got.

import { Readable } from 'node:stream';
import MailComposer from 'nodemailer/lib/mail-composer';
import SMTPConnection from 'nodemailer/lib/smtp-connection';
import type { System } from '../../engine/ports.ts';
import type { Mail } from '../../flow/ports.ts';
import { isLoopback } from '../loopback.ts';
import { broken, refused, timedOut, unavailable, withoutEffect } from './troubles.ts';

// Messages at once. A worker that is killed leaves as many in doubt, and servers dislike more from one client.
const connectionsMax = 5;
// A connection that nobody used for so long is let go; servers do the same after some minutes.
const idleMs = 30_000;
// Behind the caller's signal, which ends a call sooner.
const patienceMs = 60_000;

type SendRequest = Parameters<Mail['send']>[0];
type SmtpError = Error & {
  readonly code?: string;
  readonly responseCode?: number;
  readonly command?: string;
  readonly response?: string;
};
// How far a message has come: the one thing that decides whether it may be sent again.
type Progress = { hasBegun: boolean };

export function createSmtpMail(options: {
  readonly url: string;
  readonly from: string;
  readonly system: Pick<System, 'after'>;
}): Mail & { readonly close: () => void } {
  const { url, from, system } = options;
  const { protocol, hostname, port, username, password } = new URL(url);
  const credentials = { user: decodeURIComponent(username), pass: decodeURIComponent(password) };
  const domain = from.replace(/^.*@|>$/g, '');
  const idle: SMTPConnection[] = [];

  async function open(signal: AbortSignal): Promise<SMTPConnection> {
    const connection = new SMTPConnection({
      host: hostname.replace(/^\[|\]$/g, ''),
      ...(port === '' ? {} : { port: Number(port) }),
      secure: protocol === 'smtps:',
      requireTLS: mustEncrypt(url),
      connectionTimeout: patienceMs,
      greetingTimeout: patienceMs,
      socketTimeout: patienceMs,
    });
    await asked(connection, signal, (done) => connection.connect(done));
    if (credentials.user !== '') await asked(connection, signal, (done) => connection.login({ credentials }, done));
    return connection;
  }

  // One that broke while nobody used it is no connection any more.
  function keep(connection: SMTPConnection): void {
    const leave = () => {
      const index = idle.indexOf(connection);
      if (index >= 0) idle.splice(index, 1);
      timer.cancel();
    };
    const timer = system.after(idleMs, () => connection.close());
    connection.once('end', leave);
    connection.on('error', leave);
    idle.push(connection);
  }

  async function hand(request: SendRequest, raw: Buffer, progress: Progress, signal: AbortSignal): Promise<void> {
    const known = idle.pop();
    if (known !== undefined) {
      try {
        return await deliver(known, request, raw, progress, signal);
      } catch (error) {
        // The server had closed it meanwhile: that says nothing of the server, and nothing was sent.
        if (progress.hasBegun || signal.aborted || (error as SmtpError).responseCode !== undefined) throw error;
      }
    }
    await deliver(await open(signal), request, raw, progress, signal);
  }

  async function deliver(
    connection: SMTPConnection,
    request: SendRequest,
    raw: Buffer,
    progress: Progress,
    signal: AbortSignal,
  ): Promise<void> {
    const message = new Readable({
      // Read first when the server has said that it takes the message.
      read() {
        progress.hasBegun = true;
        this.push(raw);
        this.push(null);
      },
    });
    const envelope = { from: addressOf(from), to: [request.to], size: raw.length };
    await asked(connection, signal, (done) => connection.send(envelope, message, done));
    if (idle.length < connectionsMax) keep(connection);
    else connection.quit();
  }

  return {
    knowsKeys: false,
    needsAddress: true,
    callsMax: connectionsMax,
    send: async (request, signal) => {
      const progress = { hasBegun: false };
      try {
        signal.throwIfAborted();
        await hand(request, await compose(request, from, domain), progress, signal);
      } catch (error) {
        throw toTrouble(error as SmtpError, progress, signal);
      }
    },
    close: () => {
      for (const connection of idle) connection.close();
    },
  };
}

// A password goes to another machine by TLS or not at all, unless the URL says otherwise; without a password TLS is
// used where it is offered.
export function mustEncrypt(url: string): boolean {
  const { hostname, username, searchParams } = new URL(url);
  const asked = searchParams.get('requireTLS');
  return asked === null ? username !== '' && !isLoopback(hostname) : asked === 'true';
}

// One question to the server; ends with its answer, its end, or the signal, which ends the connection too.
async function asked(
  connection: SMTPConnection,
  signal: AbortSignal,
  ask: (done: (error?: Error | null) => void) => void,
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const abort = () => {
    reject(signal.reason);
    connection.close();
  };
  connection.on('error', reject);
  connection.once('end', () => reject(new Error('the connection ended')));
  signal.addEventListener('abort', abort, { once: true });
  try {
    ask((error) => (error ? reject(error) : resolve()));
    await promise;
  } catch (error) {
    connection.close();
    throw error;
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

// Addresses are handed over as what they are, never as text to be parsed: nothing in them becomes a header.
function compose({ key, to, subject, text, html }: SendRequest, from: string, domain: string): Promise<Buffer> {
  return new MailComposer({
    from,
    to: { name: '', address: to },
    subject,
    text,
    ...(html === undefined ? {} : { html }),
    messageId: messageIdOf(key, domain),
    headers: { 'Auto-Submitted': 'auto-generated' },
    disableFileAccess: true,
    disableUrlAccess: true,
  })
    .compile()
    .build();
}

export function messageIdOf(key: string, domain: string): string {
  return `<${key.replace(/[^\w-]/g, '.')}@${domain}>`;
}

// `Orderly <orders@example.com>` or the address alone.
const addressOf = (from: string) => /<([^<>]*)>\s*$/.exec(from)?.[1] ?? from;

function toTrouble(error: SmtpError, { hasBegun }: Progress, signal: AbortSignal): Error {
  const { responseCode, command = '' } = error;
  if (signal.aborted) {
    return hasBegun ? timedOut('success') : unavailable('The mail server did not take the message in time.', error);
  }
  if (error.code === 'ETLS') return unavailable('The mail server offers no TLS that it may be trusted with.', error);
  if (responseCode === undefined) {
    if (hasBegun) return broken('connection-lost', 'The connection broke before the mail server answered.', error);
    if (command === 'API') return refused('mail-refused', 'The address cannot be written to.');
    return unavailable('The mail server cannot be reached.', error);
  }
  // The server's words may hold the customer's address; its codes do not.
  const [said] = /^\d{3}(?:[ -]\d\.\d+\.\d+)?/.exec(error.response ?? '') ?? [String(responseCode)];
  const isOfAll = responseCode === 421 || /^(CONN|EHLO|HELO|STARTTLS|AUTH|MAIL FROM)/.test(command);
  if (isOfAll) return unavailable(`The mail server refuses us (${said}).`, error);
  if (responseCode < 500)
    return withoutEffect('mail-deferred', `The mail server does not take the message now (${said}).`);
  return refused('mail-refused', `The mail server refuses the message for good (${said}).`);
}
