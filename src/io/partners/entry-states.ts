// What may become of an entry in the ledger of the simulated partners, by partner.
//
//   payments  authorized → voided · declined · closed · failed
//   carrier   booked → recalled · rejected · closed · failed
//   mail      sent
// `closed` is a tombstone: an undo came first and took the key for good. `failed` = a failure is kept with the key.

export type PartnerName = 'payments' | 'carrier' | 'mail';

const payments = ['authorized', 'voided', 'declined'] as const;
const carrier = ['booked', 'recalled', 'rejected'] as const;
export const entryStates = [...payments, ...carrier, 'sent', 'closed', 'failed'] as const;
export type EntryState = (typeof entryStates)[number];
