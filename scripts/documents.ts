// `npm run documents`: writes the published documents of the events anew, after a change of their schemas.

import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { makeDocuments } from './event-documents.ts';

const root = dirname(import.meta.dirname);
const documents = makeDocuments();
mkdirSync(join(root, 'docs/schemas'), { recursive: true });
for (const [path, text] of documents) writeFileSync(join(root, path), text);
process.stdout.write(`${documents.size} documents are written: ${[...documents.keys()].join(', ')}\n`);
