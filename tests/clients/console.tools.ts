// The console in a real browser, on the running product: an outage leaves dead letters of three causes; a person finds
// them, tries a replay dry, sends one cause back, holds it and lets it go on, and sees the orders PROCESSED. Every page is
// judged by axe in light and dark, and must fit on a phone. Whatever the browser complains of fails the test, a breach of
// the content security policy included. `npm run test:clients -- console` runs it, and says where the browser is;
// SCREENSHOTS names a folder for pictures.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { type Browser, chromium, type Page } from 'playwright-core';
import { createProcesses, customersDomain, type Running } from '../support/process.ts';
import { until } from '../support/until.ts';

const token = 'ann-0123456789abcdef';
const headers = { 'content-type': 'application/json', authorization: `Bearer ${token}` };
const desk = { width: 1_366, height: 768 };
const phone = { width: 390, height: 844 };
const looks = [
  ['light', desk],
  ['dark', phone],
] as const;
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
// What each cause leaves, by the consumer that gives up.
const causes = { payment: 18, fulfillment: 8, notification: 4 };
// What a customer may write, and no page may take for markup.
const hostile = '<img src=x onerror=alert(1)>';
const letters = Object.values(causes).reduce((sum, count) => sum + count, 0);

describe('the console in a browser', { timeout: 240_000 }, () => {
  const processes = createProcesses();
  const complaints: string[] = [];
  let orderly: Running;
  let browser: Browser;
  let page: Page;

  before(async () => {
    const sandbox = processes.start('sandbox', {
      SANDBOX_PORT: 0,
      ORDERLY_DATA_DIR: join(processes.directory, 'partners'),
    });
    const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';
    const launched = chromium.launch({ executablePath, args: ['--disable-dev-shm-usage'] });
    orderly = await processes.start('start', {
      ...{ PORT: 0, PARTNERS_URL: (await sandbox).url, ORDERLY_DATA_DIR: join(processes.directory, 'data') },
      ...{ OPERATOR_TOKEN: `ann=${token}`, ORDER_WORKER_MAX_RETRIES: 0 },
    });
    browser = await launched;
    page = await browser.newPage({ viewport: desk });
    page.setDefaultTimeout(20_000);
    page.on('console', (message) => {
      // A loaded machine may be too busy for a moment; the console says so and asks again.
      if (message.text().includes('status of 503')) return;
      if (['error', 'warning'].includes(message.type())) complaints.push(`${page.url()}: ${message.text()}`);
    });
    page.on('pageerror', (error) => complaints.push(`${page.url()}: ${error.stack}`));
    page.on('request', (request) => {
      if (!request.url().startsWith(orderly.url)) complaints.push(`${page.url()} asks for ${request.url()}`);
    });
    await breakDown((await sandbox).url, orderly.url);
  });
  after(async () => {
    await browser?.close();
    await processes.close();
  });

  it('leads from an outage to its causes, and one of them back to work', async () => {
    await page.goto(`${orderly.url}/console`);
    assert.equal(page.url(), `${orderly.url}/login?next=%2Fconsole`);
    await page.getByLabel('Operator token').fill(token);
    await page.keyboard.press('Enter');
    await heading('Overview');
    const trouble = page.getByRole('link', { name: `${letters} dead letters` });
    await trouble.waitFor();
    await picture('console-overview');

    await trouble.click();
    await heading('Dead letters');
    const rows = page.getByRole('table', { name: /by what they have in common/ }).getByRole('row');
    await until(async () => (await rows.count()) === 1 + Object.keys(causes).length, 'a row for each cause');
    const counted = await rows.allInnerTexts();
    for (const [consumer, count] of Object.entries(causes))
      assert.ok(
        counted.some((text) => text.includes(consumer) && text.includes(`\t${count}\t`)),
        counted.join('\n'),
      );
    await picture('console-dead-letters');

    await rows.filter({ hasText: 'payment ·' }).getByRole('link', { name: 'Replay…' }).click();
    await heading('New replay');
    assert.ok(await page.getByRole('button', { name: 'Replay…' }).isDisabled(), 'first it is tried dry');
    await page.getByLabel('Reason').fill('the payment provider is back');
    await page.getByLabel('Letters per second').fill('5');
    await page.keyboard.press('Enter');
    await said(`${causes.payment} dead letters of ${causes.payment} orders`);
    assert.equal(await openLetters(), letters, 'a dry run sends nothing back');

    const replay = page.getByRole('button', { name: 'Replay…' });
    await replay.click();
    await page.keyboard.press('Escape');
    await until(async () => (await page.getByRole('dialog').count()) === 0, 'the question is gone');
    assert.equal(await openLetters(), letters, 'who goes back sends nothing back');
    await replay.click();
    await page.getByRole('dialog').getByRole('button', { name: 'Replay' }).click();
    await heading('Replay');
    await page.getByRole('button', { name: 'Pause' }).click();
    await said('Paused.');
    await page.getByText('paused', { exact: true }).waitFor();
    await picture('console-replay');
    await page.getByRole('button', { name: 'Go on' }).click();
    await page.getByText(`${causes.payment} of ${causes.payment} settled`).waitFor();
    await page.getByText('done', { exact: true }).waitFor();

    await page.getByRole('link', { name: 'Orders' }).click();
    await heading('Orders');
    await page.getByLabel('Country').fill('FR');
    await page.getByRole('button', { name: 'Show' }).click();
    const orders = page.getByRole('table', { name: /Orders/ }).getByRole('row');
    const processed = orders.filter({ hasText: 'PROCESSED' });
    await until(async () => (await processed.count()) === causes.payment, 'all of them PROCESSED');
    assert.equal(await orders.count(), 1 + causes.payment);
    await processed.first().getByRole('link').click();
    await heading('Order');
    await page.locator('ol').getByText('The shipment was booked').waitFor();
    await page.getByRole('cell', { name: hostile }).waitFor();
    assert.ok((await page.locator('svg.timeline rect').count()) > 5, 'its timeline is drawn');
    await picture('console-order');
    assert.deepEqual(complaints, []);
  });

  it('is faultless by axe on every page in light and dark, and fits on a desk and on a phone', async () => {
    const [letter, order] = await samples();
    const pages = ['', 'orders', `orders/${order}`, 'dead-letters', `dead-letters/${letter}`, 'replays', 'replays/new'];
    for (const path of [...pages, 'jobs', 'partners', 'processes', 'audit']) {
      await page.goto(`${orderly.url}/console#/${path}`);
      await page.locator('h1').waitFor();
      await until(async () => !(await page.getByText('Loading…').isVisible()), `the page ${path}`);
      await page.evaluate(axe);
      for (const [colorScheme, viewport] of looks) {
        await page.emulateMedia({ colorScheme });
        await page.setViewportSize(viewport);
        const found = await page.evaluate<string[]>(judge);
        assert.deepEqual(found, [], `${path} in ${colorScheme}, ${viewport.width} wide`);
        const width = await page.evaluate<number>('document.documentElement.scrollWidth');
        assert.ok(width <= viewport.width, `${path} is ${width} wide on ${viewport.width}`);
        if (path === '' && colorScheme === 'dark') await picture('console-phone');
      }
    }
    assert.deepEqual(complaints, []);
  });

  it('asks for news while it is seen and live, and for none else', async () => {
    const asked: string[] = [];
    page.on('request', (request) => asked.push(request.url().slice(orderly.url.length)));
    const newsIn = async (ms: number) => {
      await page.clock.runFor(ms);
      await page.evaluate("fetch('/healthz')");
      // The first of what it asks for each time, at once when it is time.
      return asked.splice(0).filter((path) => path === '/orders?counts=true&limit=1').length;
    };
    await page.clock.install();
    await page.goto(`${orderly.url}/console`);
    await heading('Overview');
    await page.getByText('by what they have in common').waitFor({ state: 'attached' });
    await newsIn(0);
    await until(async () => (await newsIn(3_000)) === 1, 'news');
    await page.evaluate(`Object.defineProperty(document, 'hidden', { get: () => window.isAway, configurable: true });
      window.isAway = true; document.dispatchEvent(new Event('visibilitychange'))`);
    await newsIn(0);
    assert.equal(await newsIn(60_000), 0, 'nobody looks');
    await page.evaluate("window.isAway = false; document.dispatchEvent(new Event('visibilitychange'))");
    await until(async () => (await newsIn(3_000)) > 0, 'news again');
    await page.getByRole('button', { name: 'Live: on' }).click();
    await page.getByRole('button', { name: 'Live: off' }).waitFor();
    await newsIn(0);
    assert.equal(await newsIn(60_000), 0, 'they are not wanted');
    assert.deepEqual(complaints, []);
  });

  it('says what it cannot tell, and shows the rest', async () => {
    await page.goto(`${orderly.url}/console#/jobs`);
    await page.route('**/operations/overview', (route) => route.abort());
    await page.goto(`${orderly.url}/console`);
    const trouble = page.getByRole('region', { name: 'Needs a person' });
    await trouble.getByText('Orderly does not answer.').waitFor();
    await page.getByRole('cell', { name: 'All orders' }).waitFor();
    await page.unroute('**/operations/overview');
    await trouble.getByRole('link', { name: /dead letters/ }).waitFor();
    // What the browser itself says of the request that was broken off here.
    assert.deepEqual(
      complaints.splice(0).filter((text) => !text.includes('net::ERR_FAILED')),
      [],
    );
  });

  it('says why something was not done until something else is', async () => {
    const [letter] = await samples();
    await page.goto(`${orderly.url}/console#/dead-letters/${letter}`);
    await page.getByRole('button', { name: 'Send back…' }).click();
    await ask(`/dlq/letters/${letter}/reprocess`, 'POST');
    await page.getByRole('dialog').getByRole('button', { name: 'Send back' }).click();
    const refusal = page.getByRole('alert').filter({ hasText: /\w/ });
    await refusal.waitFor();
    const news = page.waitForResponse(`**/dlq/letters/${letter}`);
    await page.clock.runFor(6_000);
    await (await news).finished();
    await page.getByText('reprocessed', { exact: true }).first().waitFor();
    assert.match(await refusal.innerText(), /dead letter/);
    assert.deepEqual(
      complaints.splice(0).filter((text) => !/status of 40[49]/.test(text)),
      [],
    );
  });

  it('lets a partner be held back and go on by the keyboard alone', async () => {
    await page.setViewportSize(desk);
    await page.goto(`${orderly.url}/console#/partners`);
    await page.getByRole('button', { name: 'Hold back the partner carrier' }).press('Enter');
    await page.keyboard.type('they asked for it');
    await page.keyboard.press('Enter');
    await said('The partner carrier is held back');
    await page.getByRole('button', { name: 'Let the partner carrier go on' }).first().press('Enter');
    await said('The partner carrier goes on');
    const lost = 'document.activeElement === document.body';
    await until(async () => !(await page.evaluate(lost)), 'the focus to be somewhere');
    assert.deepEqual(complaints, []);
  });

  it('leads back to where one was when the session is over, and ends it when told to', async () => {
    await page.context().clearCookies();
    await page.getByRole('link', { name: 'Audit' }).click();
    await page.getByLabel('Operator token').fill(token);
    await page.keyboard.press('Enter');
    await page.getByRole('cell', { name: 'they asked for it' }).first().waitFor();
    assert.equal(page.url(), `${orderly.url}/console#/audit`);
    await page.getByRole('button', { name: 'Log out ann' }).press('Enter');
    await page.getByLabel('Operator token').waitFor();
    await page.goto(`${orderly.url}/console#/orders`);
    await page.getByLabel('Operator token').waitFor();
    assert.deepEqual(
      complaints.splice(0).filter((text) => !text.includes('status of 401')),
      [],
    );
  });

  // The heading has the focus, so that whoever listens hears where they are.
  async function heading(name: string): Promise<void> {
    await page.getByRole('heading', { level: 1, name: new RegExp(`^${name}\\b`) }).waitFor();
    if (name !== 'Overview') assert.equal(await page.evaluate('document.activeElement.tagName'), 'H1');
  }
  async function said(text: string): Promise<void> {
    await page.getByRole('status').filter({ hasText: text }).waitFor();
  }
  async function picture(name: string): Promise<void> {
    const folder = process.env.SCREENSHOTS;
    if (folder !== undefined) await page.screenshot({ path: join(folder, `${name}.png`) });
  }
  const ask = async (path: string, method = 'GET') => {
    const { authorization } = headers;
    return await (await fetch(`${orderly.url}${path}`, { method, headers: { authorization } })).json();
  };
  async function openLetters(): Promise<number> {
    return ((await ask('/dlq/groups')) as { total: { count: number } }).total.count;
  }
  async function samples(): Promise<string[]> {
    const { items } = (await ask('/dlq')) as { items: { id: string; orderId: string }[] };
    return [items[0]?.id ?? '', items[0]?.orderId ?? ''];
  }
});

const judge = `axe.run({ resultTypes: ['violations'] }).then(({ violations }) =>
  violations.map(({ id, nodes }) => id + ': ' + nodes.map(({ html }) => html.slice(0, 200)).join(' ')))`;

// One cause after the other, for a direction of the sandbox meets whatever comes next.
async function breakDown(sandboxUrl: string, url: string): Promise<void> {
  const post = async (address: string, body: object) => {
    const answer = await fetch(address, { method: 'POST', headers, body: JSON.stringify(body) });
    assert.ok(answer.ok, `${address}: ${answer.status} ${await answer.text()}`);
  };
  const place = async (count: number, country: string, paymentScenario: string) => {
    const items = [{ sku: hostile, quantity: 1, unitPrice: 1_999 }];
    const order = { customerEmail: `somebody@${customersDomain}`, items, country, paymentScenario };
    await Promise.all(Array.from({ length: count }, () => post(`${url}/orders`, order)));
  };
  const direct = (call: string, act: string, times: number) => post(`${sandboxUrl}/control`, { call, act, times });
  const left = async (count: number) => {
    const look = async () => {
      const found = (await (await fetch(`${url}/dlq/groups`, { headers })).json()) as { total: { count: number } };
      return found.total.count === count || Promise.reject(new Error(JSON.stringify(found)));
    };
    await until(look, `${count} dead letters`, { patienceMs: 30_000 });
  };
  await direct('send', 'refuse', causes.notification);
  await place(causes.notification, 'DE', 'success');
  await left(causes.notification);
  await direct('book', 'fail', causes.fulfillment);
  await place(causes.fulfillment, 'DE', 'success');
  await left(causes.notification + causes.fulfillment);
  await place(causes.payment, 'FR', 'outage');
  await left(letters);
}
