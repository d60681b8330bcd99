// The partners that the consumers of this process talk to: over HTTP, or simulated in the process with
// their ledger in the data directory.
//
// Promises: several processes never get ledgers of their own, which would be partners that know nothing
// of each other; where that would happen, one sentence says so. A process whose consumers call nobody gets
// partners that refuse.

import { join } from 'node:path';
import type { System } from '../engine/ports.ts';
import type { Tracer } from '../engine/tracer.ts';
import type { Partners } from '../flow/ports.ts';
import { subscriptions } from '../flow/subscriptions.ts';
import { createHttpPartners } from '../io/partners/http.ts';
import { openLedger } from '../io/partners/ledger.ts';
import { createLocalPartners } from '../io/partners/local.ts';
import { createStage } from '../io/partners/stage.ts';
import type { Config } from './config.ts';
import { StartError } from './start-error.ts';

export type OpenPartners = { readonly port: Partners; readonly close: () => void };

const partnerNames: readonly string[] = ['payments', 'carrier', 'mail'] satisfies (keyof Partners)[];

export function callsPartners(consumer: string): boolean {
  const row = subscriptions.find((one) => one.consumer === consumer);
  return row?.dependencies.some((dependency) => partnerNames.includes(dependency)) ?? false;
}

// `isAlone`: no other process works on the same orders.
export async function openPartners(
  config: Config,
  duties: { readonly consumers: readonly string[]; readonly isAlone: boolean },
  { system, tracer }: { readonly system: System; readonly tracer: Tracer },
): Promise<OpenPartners> {
  const partners = openSimulated(config, duties, { system, tracer });
  if (config.smtp === null) return partners;
  const { createSmtpMail } = await import('../io/partners/smtp.ts');
  const mail = createSmtpMail({ ...config.smtp, system });
  const close = () => {
    mail.close();
    partners.close();
  };
  return { port: { ...partners.port, mail }, close };
}

function openSimulated(
  config: Config,
  { consumers, isAlone }: { readonly consumers: readonly string[]; readonly isAlone: boolean },
  { system, tracer }: { readonly system: System; readonly tracer: Tracer },
): OpenPartners {
  const calling = consumers
    .filter(callsPartners)
    // Mail is sent by SMTP, and nothing is asked of the simulated partners.
    .filter((consumer) => config.smtp === null || consumer !== 'notification');
  if (calling.length === 0) return { port: nobody, close: () => {} };
  if (config.partners.url !== null) {
    const port = createHttpPartners({ url: config.partners.url, traceparent: tracer.current });
    return { port, close: port.close };
  }
  if (!isAlone) {
    throw new StartError(
      `PARTNERS_URL must be set for a worker of ${calling.join(', ')}: the simulated partners keep one ledger in one ` +
        'process, which is `npm run orderly -- sandbox`, by default at http://127.0.0.1:4000.',
    );
  }
  const ledger = openLedger({ directory: join(config.dataDir, 'partners') });
  return { port: createLocalPartners({ ledger, stage: createStage(), system }), close: ledger.close };
}

const refuse = () => Promise.reject(new Error('no consumer of this process calls a partner'));
const nobody: Partners = {
  payments: { keyWindowMs: 0, authorize: refuse, void: refuse, lookup: refuse },
  carrier: { keyWindowMs: 0, book: refuse, recall: refuse, lookup: refuse },
  mail: { send: refuse },
};
