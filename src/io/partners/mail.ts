// The simulated mail partner: keeps each message in the ledger, where a test can read it.
//
// Promises: at most one message per key, whatever its text; a release that words a message anew and
// repeats a key sends nothing a second time.
// Relies on being called inside `ledger.inTurn`, one call after the other.

import type { Mail } from '../../flow/ports.ts';
import type { Ledger } from './ledger.ts';
import { refused } from './troubles.ts';

type SendRequest = Parameters<Mail['send']>[0];

export function createMail({ ledger, newId }: { ledger: Ledger; newId: () => string }) {
  return {
    send: (request: SendRequest, scene: { readonly refuses: boolean; readonly now: Date }): void => {
      if (ledger.find('mail', request.key) !== null) return;
      if (scene.refuses) throw refused('mail-refused', 'The mail partner refuses this message for good.');
      const { kind, to, subject, text } = request;
      ledger.add({
        partner: 'mail',
        key: request.key,
        orderId: request.orderId,
        state: 'sent',
        reference: `message-${newId()}`,
        code: null,
        terms: JSON.stringify({ kind, to, subject, text }),
        expiresAtMs: null,
        createdAtMs: scene.now.getTime(),
      });
    },
  };
}
