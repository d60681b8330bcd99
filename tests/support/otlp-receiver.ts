// A receiver of traces as a process of its own: says where it listens, and answers all spans that it took.

import { type TakenSpan, takeSpans } from '../../services/otlp.ts';

const taken: TakenSpan[] = [];
const { url } = await takeSpans(
  (spans) => taken.push(...spans),
  () => taken,
);
process.stdout.write(`${url}\n`);
// Ends with its parent.
process.stdin.on('end', () => process.exit()).resume();
