// Mail by SMTP against a real server, in a process of its own, read back by a parser that is not ours.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import PostalMime from 'postal-mime';
import type { OrderId } from '../../src/domain/order.ts';
import { OutsideError } from '../../src/engine/ports.ts';
import { mailText } from '../../src/flow/steps/mail-text.ts';
import { createSmtpMail, mustEncrypt } from '../../src/io/partners/smtp.ts';
import { createSystem } from '../../src/io/system.ts';
import { orderWith } from '../support/orders.ts';
import { type SmtpBehavior, type SmtpProcess, type SmtpSeen, startSmtp } from '../support/smtp.ts';
import { until } from '../support/until.ts';

const system = createSystem();
const from = 'Orderly <orders@shop.example>';
const closings: (() => unknown)[] = [];
after(() => Promise.all(closings.map((close) => close())));

function mailTo(port: number, auth = '') {
  const mail = createSmtpMail({ url: `smtp://${auth}127.0.0.1:${port}`, from, system });
  closings.push(mail.close);
  return mail;
}
async function ownServer(behavior: SmtpBehavior): Promise<SmtpProcess> {
  const server = await startSmtp(behavior);
  closings.push(server.kill9);
  return server;
}

// The server that most tests share, one after the other; a sender that no other test has.
let shared: SmtpProcess;
before(async () => {
  shared = await ownServer({});
});
async function listening(behavior: SmtpBehavior = {}) {
  await shared.behave(behavior);
  const before = await shared.seen();
  const since = async (): Promise<SmtpSeen> => {
    const seen = await shared.seen();
    const messages = seen.messages.slice(before.messages.length);
    return { ...seen, messages, connections: seen.connections - before.connections };
  };
  const mails = async () => Promise.all((await since()).messages.map(({ raw }) => PostalMime.parse(raw)));
  return { mail: mailTo(shared.port), since, mails };
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
const patient = () => new AbortController().signal;

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
    const [arrived] = await mails();
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
    const ids = (await mails()).map(({ messageId }) => messageId);
    assert.deepEqual(ids.slice(0, 2), Array(2).fill('<an-order.mail.failed@shop.example>'));
    assert.notEqual(ids[2], ids[0]);
  });

  it('keeps its connection, and makes a new one when the server has let go of it', async () => {
    const { mail, since } = await listening();
    for (let nth = 0; nth < 3; nth += 1) await mail.send(request(), patient());
    assert.equal((await since()).connections, 1);
    await shared.hangUp();
    await mail.send(request(), patient());
    const { messages, connections } = await since();
    assert.deepEqual([messages.length, connections], [4, 2]);
  });

  for (const [code, expected] of [
    [450, 'retryable mail-deferred'],
    [550, 'non-retryable mail-refused'],
    [421, 'retryable partner-unavailable down'],
  ] as const) {
    it(`takes a ${code} for the recipient, and for the message, as ${expected}`, async () => {
      const atRecipient = await listening({ recipient: code });
      assert.equal(await inWords(atRecipient.mail.send(request(), patient())), expected);
      assert.deepEqual((await atRecipient.since()).messages, []);
      const atMessage = await listening({ message: code });
      assert.equal(await inWords(atMessage.mail.send(request(), patient())), expected);
    });
  }

  it('takes a server that refuses us for all, and one that is not there, as down', async () => {
    const sender = await listening({ sender: 550 });
    assert.equal(await inWords(sender.mail.send(request(), patient())), 'retryable partner-unavailable down');
    assert.equal(await inWords(mailTo(1).send(request(), patient())), 'retryable partner-unavailable down');
  });

  it('does not know what became of a message whose answer was lost', async () => {
    const { mail, since } = await listening({ message: 'cut' });
    assert.equal(await inWords(mail.send(request(), patient())), 'unknown connection-lost down');
    assert.equal((await since()).messages.length, 1);
  });

  it('does not know what became of a message whose server died with it', async () => {
    const server = await ownServer({ message: 'silence' });
    const call = inWords(mailTo(server.port).send(request(), patient()));
    await until(async () => (await server.seen()).last === 'message', 'the message at the server');
    await server.kill9();
    assert.equal(await call, 'unknown connection-lost down');
  });

  it('knows that nothing was sent where the connection broke before the message', async () => {
    const { mail, since } = await listening({ recipient: 'cut' });
    assert.equal(await inWords(mail.send(request(), patient())), 'retryable partner-unavailable down');
    assert.deepEqual((await since()).messages, []);
  });

  it('says of a call that was given up whether the message was under way', async () => {
    const silent = await listening({ message: 'silence' });
    const late = new AbortController();
    const call = inWords(silent.mail.send(request(), late.signal));
    await until(async () => (await silent.since()).messages.length === 1, 'the message at the server');
    late.abort();
    assert.equal(await call, 'unknown timeout down');

    const mute = await listening({ recipient: 'silence' });
    const early = new AbortController();
    const second = inWords(mute.mail.send(request(), early.signal));
    await until(async () => (await mute.since()).last === 'recipient', 'the recipient at the server');
    early.abort();
    assert.equal(await second, 'retryable partner-unavailable down');
    assert.equal(await inWords(mute.mail.send(request(), AbortSignal.abort())), 'retryable partner-unavailable down');
  });

  it('speaks TLS with a server that offers it, and says nothing to one that nobody vouches for', async () => {
    const read = (name: string) => readFileSync(join(import.meta.dirname, '../fixtures/smtp', name), 'utf8');
    const cert = read('cert.pem');
    const server = await ownServer({ starttls: { key: read('key.pem'), cert } });
    const stranger = mailTo(server.port).send(request(), patient());
    assert.equal(await inWords(stranger), 'retryable partner-unavailable down');
    assert.deepEqual((await server.seen()).last, null);
    setDefaultCACertificates([...getCACertificates(), cert]);
    await mailTo(server.port).send(request(), patient());
    const { messages } = await server.seen();
    assert.deepEqual(
      messages.map(({ secure }) => secure),
      [true],
    );
  });

  it('signs in, and never says with what', async () => {
    const server = await ownServer({ login: 'a user:p@ss:word' });
    await mailTo(server.port, 'a%20user:p%40ss%3Aword@').send(request(), patient());
    assert.equal((await server.seen()).messages.length, 1);
    const wrong = mailTo(server.port, 'another:p%40ss%3Aword@');
    const trouble = await troubleOf(wrong.send(request(), patient()));
    assert.deepEqual([trouble.class, trouble.dependencyDown], ['retryable', true]);
    assert.doesNotMatch(JSON.stringify(trouble), /p@ss/);
  });

  it('asks for TLS wherever a password goes to another machine, unless its URL says otherwise', () => {
    const urls: [url: string, must: boolean][] = [
      ['smtp://user:password@mail.example', true],
      ['smtp://user:password@mail.example?requireTLS=false', false],
      ['smtp://user:password@127.0.0.1', false],
      ['smtp://user:password@[::1]:25', false],
      ['smtp://mail.example', false],
      ['smtp://mail.example?requireTLS=true', true],
    ];
    for (const [url, must] of urls) assert.equal(mustEncrypt(url), must, url);
  });

  it('says no password to a server without the TLS that it asks for', async () => {
    const server = await ownServer({ login: 'user:password' });
    const url = `smtp://user:password@127.0.0.1:${server.port}?requireTLS=true`;
    const mail = createSmtpMail({ url, from, system });
    closings.push(mail.close);
    const trouble = await troubleOf(mail.send(request(), patient()));
    assert.deepEqual([trouble.class, trouble.dependencyDown], ['retryable', true]);
    assert.match(trouble.message, /offers no TLS that it may be trusted with/);
    assert.deepEqual((await server.seen()).last, null);
  });

  it('lets no address become a header or a second recipient', async () => {
    const { mail, mails, since } = await listening();
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
    for (const one of await mails()) assert.doesNotMatch(JSON.stringify([one.bcc, one.to?.length]), /eve|2/);
    const recipients = (await since()).messages.flatMap((message) => message.recipients);
    assert.ok(!recipients.includes('eve@evil.example'));
  });
});
