// `npm run documents`: writes the published documents of the events and the page of settings anew, after a change of
// their schemas or of the table of settings.

import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { makeDocuments } from './event-documents.ts';
import { settingsPage } from './settings-page.ts';

const root = dirname(import.meta.dirname);
const documents = new Map([...makeDocuments(), ['docs/settings.md', settingsPage()]]);
mkdirSync(join(root, 'docs/schemas'), { recursive: true });
for (const [path, text] of documents) writeFileSync(join(root, path), text);
process.stdout.write(`${documents.size} documents are written: ${[...documents.keys()].join(', ')}\n`);
