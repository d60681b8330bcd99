// The bus on an SQS-compatible server: the suite of all buses for FIFO and for standard queues, and what
// only SQS has.

import { join } from 'node:path';
import { after } from 'node:test';
import { start } from '../support/services.ts';
import { busContract } from './bus.contract.ts';
import { startLine } from './line.ts';
import { openBus } from './open-sqs.ts';
import { openBus as openStandard } from './open-sqs-standard.ts';

const line = await startLine(await start('sqs'));
after(line.close);
process.env.AWS_ENDPOINT_URL_SQS = line.url;

// The server forgets what it has when it ends, as SQS never does: here the way to it breaks instead.
const server = { stop: line.cut, kill: line.tear, start: line.mend };
// More than SQS takes in one message.
const refusedBytes = 2 * 1_048_576;

busContract({ name: 'SQS, FIFO', openBus, file: join(import.meta.dirname, 'open-sqs.ts'), server, refusedBytes });
busContract({
  name: 'SQS, standard',
  openBus: openStandard,
  file: join(import.meta.dirname, 'open-sqs-standard.ts'),
  server,
  refusedBytes,
});
