// Mail by SMTP against a real server on a real socket, read back by a parser that is not ours.

import assert from 'node:assert/strict';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { after, describe, it } from 'node:test';
import PostalMime, { type Email } from 'postal-mime';
import { SMTPServer, type SMTPServerOptions } from 'smtp-server';
import { OutsideError } from '../../src/bus/ports.ts';
import type { OrderId } from '../../src/domain/order.ts';
import { mailText } from '../../src/flow/mail-text.ts';
import { createSmtpMail } from '../../src/io/partners/smtp.ts';
import { createSystem } from '../../src/io/system.ts';
import { orderWith } from '../support/orders.ts';
import { until } from '../support/until.ts';

const system = createSystem();
const from = 'Orderly <orders@shop.example>';
const closings: (() => unknown)[] = [];
after(() => Promise.all(closings.map((close) => close())));

async function listening(options: SMTPServerOptions = {}, auth = '') {
  const mails: Email[] = [];
  let connections = 0;
  const server = new SMTPServer({
    authOptional: true,
    disabledCommands: ['STARTTLS'],
    closeTimeout: 10,
    onConnect: (_session, done) => {
      connections += 1;
      done();
    },
    onData: (stream, _session, done) => {
      const kept = async () => void mails.push(await PostalMime.parse(await buffer(stream)));
      kept().then(() => done(), done);
    },
    ...options,
  });
  server.on('error', () => {});
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()));
  const { port } = server.server.address() as AddressInfo;
  const mail = createSmtpMail({ url: `smtp://${auth}127.0.0.1:${port}`, from, system });
  closings.push(mail.close, () => new Promise<void>((resolve) => server.close(() => resolve())));
  return { mail, server, mails, connections: () => connections };
}

const order = orderWith({ items: [{ sku: `<b>"lamp" & 'shade'</b>`, quantity: 2, unitPrice: 1_250 }] });
const request = (given: { key?: string; to?: string } = {}) => ({
  key: `${order.id}:mail:processed`,
  orderId: order.id as OrderId,
  kind: 'processed' as const,
  to: 'ada@customer.example',
  ...mailText('processed', order),
  ...given,
});
// The server's own view of who is connected.
type Session = { readonly close: () => void; readonly _socket: { readonly destroy: () => void } };
const sessionsOf = (server: SMTPServer) => (server as unknown as { connections: Set<Session> }).connections;
const patient = () => new AbortController().signal;
const refusal = (code: number, text: string) => Object.assign(new Error(text), { responseCode: code });

async function troubleOf(call: Promise<unknown>) {
  const error = await call.then(
    () => assert.fail('it was sent'),
    (failed: unknown) => failed,
  );
  if (!(error instanceof OutsideError)) throw error;
  return error.trouble;
}
const inWords = async (call: Promise<unknown>) => {
  const { class: kind, code, dependencyDown } = await troubleOf(call);
  return `${kind} ${code}${dependencyDown ? ' down' : ''}`;
};

describe('mail by SMTP', { timeout: 30_000 }, () => {
  it('arrives with text and HTML, and what customers wrote is no markup', async () => {
    const { mail, mails } = await listening();
    await mail.send(request(), patient());
    const [arrived] = mails;
    assert.deepEqual(arrived?.from, { address: 'orders@shop.example', name: 'Orderly' });
    assert.deepEqual(
      arrived?.to?.map(({ address }) => address),
      ['ada@customer.example'],
    );
    assert.equal(arrived?.subject, 'Your order is on its way');
    assert.match(arrived?.text ?? '', /2 × <b>"lamp" & 'shade'<\/b>/);
    assert.match(arrived?.html ?? '', /<li>2 × &lt;b&gt;&quot;lamp&quot; &amp; &#39;shade&#39;&lt;\/b&gt;<\/li>/);
    assert.equal(arrived?.headers.find(({ key }) => key === 'auto-submitted')?.value, 'auto-generated');
  });

  it('has a Message-ID of its key, so that a repetition can be recognized', async () => {
    const { mail, mails } = await listening();
    for (const key of ['an-order:mail:failed', 'an-order:mail:failed', 'an-order:mail:canceled']) {
      await mail.send(request({ key }), patient());
    }
    const ids = mails.map(({ messageId }) => messageId);
    assert.deepEqual(ids.slice(0, 2), Array(2).fill('<an-order.mail.failed@shop.example>'));
    assert.notEqual(ids[2], ids[0]);
  });

  it('keeps its connection, and makes a new one when the server has let go of it', async () => {
    const { mail, mails, server, connections } = await listening();
    for (let nth = 0; nth < 3; nth += 1) await mail.send(request(), patient());
    assert.equal(connections(), 1);
    for (const session of sessionsOf(server)) session.close();
    await mail.send(request(), patient());
    assert.deepEqual([mails.length, connections()], [4, 2]);
  });

  for (const [code, expected] of [
    [450, 'retryable mail-deferred'],
    [550, 'non-retryable mail-refused'],
    [421, 'retryable partner-unavailable down'],
  ] as const) {
    it(`takes a ${code} for the recipient, and for the message, as ${expected}`, async () => {
      const no = refusal(code, 'no');
      const atRecipient = await listening({ onRcptTo: (_address, _session, done) => done(no) });
      assert.equal(await inWords(atRecipient.mail.send(request(), patient())), expected);
      const atMessage = await listening({
        onData: (stream, _session, done) => void stream.resume().on('end', () => done(no)),
      });
      assert.equal(await inWords(atMessage.mail.send(request(), patient())), expected);
    });
  }

  it('takes a server that refuses us for all, and one that is not there, as down', async () => {
    const sender = await listening({ onMailFrom: (_address, _session, done) => done(refusal(550, 'who are you')) });
    assert.equal(await inWords(sender.mail.send(request(), patient())), 'retryable partner-unavailable down');
    const gone = createSmtpMail({ url: 'smtp://127.0.0.1:1', from, system });
    assert.equal(await inWords(gone.send(request(), patient())), 'retryable partner-unavailable down');
  });

  it('does not know what became of a message whose answer was lost', async () => {
    let arrived = 0;
    const opened = await listening({
      onData: (stream) =>
        void stream.resume().on('end', () => {
          arrived += 1;
          for (const { _socket } of sessionsOf(opened.server)) _socket.destroy();
        }),
    });
    assert.equal(await inWords(opened.mail.send(request(), patient())), 'unknown connection-lost down');
    assert.equal(arrived, 1);
  });

  it('says of a call that was given up whether the message was under way', async () => {
    let inMessage = false;
    const silent = await listening({
      onData: (stream) =>
        void stream.resume().on('end', () => {
          inMessage = true;
        }),
    });
    const late = new AbortController();
    const call = inWords(silent.mail.send(request(), late.signal));
    await until(() => inMessage, 'the message at the server');
    late.abort();
    assert.equal(await call, 'unknown timeout down');

    let greeted = false;
    const mute = await listening({
      onRcptTo: () => {
        greeted = true;
      },
    });
    const early = new AbortController();
    const second = inWords(mute.mail.send(request(), early.signal));
    await until(() => greeted, 'the recipient at the server');
    early.abort();
    assert.equal(await second, 'retryable partner-unavailable down');
    assert.equal(await inWords(mute.mail.send(request(), AbortSignal.abort())), 'retryable partner-unavailable down');
  });

  it('signs in, and never says with what', async () => {
    const onAuth: SMTPServerOptions['onAuth'] = ({ username, password }, _session, done) =>
      username === 'a user' && password === 'p@ss:word' ? done(null, { user: 1 }) : done(refusal(535, 'no p@ss:word'));
    const options = { onAuth, authOptional: false, allowInsecureAuth: true };
    const right = await listening(options, 'a%20user:p%40ss%3Aword@');
    await right.mail.send(request(), patient());
    assert.equal(right.mails.length, 1);
    const wrong = await listening(
      { ...options, onAuth: (_auth, _session, done) => done(refusal(535, 'not p@ss:word')) },
      'a:p%40ss%3Aword@',
    );
    const trouble = await troubleOf(wrong.mail.send(request(), patient()));
    assert.deepEqual([trouble.class, trouble.dependencyDown], ['retryable', true]);
    assert.doesNotMatch(JSON.stringify(trouble), /p@ss/);
  });

  it('lets no address become a header or a second recipient', async () => {
    const { mail, mails } = await listening();
    const hostile = [
      'ada@customer.example\r\nBcc: eve@evil.example',
      'ada@customer.example, eve@evil.example',
      'a@b>\r\nRCPT TO:<eve@evil.example',
    ];
    for (const to of hostile) {
      const trouble = await mail.send(request({ to }), patient()).then(
        () => null,
        (error) => error.trouble,
      );
      assert.ok(trouble === null || trouble.class === 'non-retryable', to);
    }
    for (const one of mails) assert.doesNotMatch(JSON.stringify([one.bcc, one.to?.length]), /eve|2/);
    const recipients = mails.flatMap(({ to = [], cc = [], bcc = [] }) => [...to, ...cc, ...bcc]);
    assert.equal(
      recipients.some(({ address }) => address === 'eve@evil.example'),
      false,
    );
  });
});
