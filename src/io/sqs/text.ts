// Message bodies on SQS, which carries text instead of bytes.
//
// Promises: the bytes that come out are those that went in. A CloudEvent goes as it is, readable in the broker's own
// tools; what is not UTF-8, or has characters that SQS refuses, goes as base64.

import { isUtf8 } from 'node:buffer';

export type Text = { readonly text: string; readonly encoding: 'utf8' | 'base64' };

// SQS takes what XML 1.0 takes: no control characters but tab and line ends, and not these two.
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const refused = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/;

export function toText(body: Buffer): Text {
  const text = isUtf8(body) ? body.toString('utf8') : null;
  if (text === null || text === '' || refused.test(text)) return { text: body.toString('base64'), encoding: 'base64' };
  return { text, encoding: 'utf8' };
}

export function toBody({ text, encoding }: Text): Buffer {
  return Buffer.from(text, encoding);
}
