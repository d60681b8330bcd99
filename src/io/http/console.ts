// The operations console: a page for people who run the service, made of the files in console/ as they stand.
//
// Promises: nothing is built and nothing loaded from elsewhere; no script or style but these files runs on it, so that
// text of an order can do no harm there. It knows no more than the public HTTP: the browser asks that.
// Relies on the guard, which asks for everything that is not public.

import { readdirSync, readFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { FastifyInstance } from 'fastify';
import { currencyCodes, decimalsOf } from '../../domain/money.ts';

// The one library makes its templates by a policy of Trusted Types; nobody else may turn text into markup.
const contentSecurityPolicy = [
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'",
  "base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types lit-html",
].join('; ');

const types: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
};

const folder = join(import.meta.dirname, 'console');
// The package gives node a file of its own, and browsers the one beside its folder.
const library = fileURLToPath(new URL('../lit-html.js', import.meta.resolve('lit-html')));

// What the browser's own list would get wrong: it follows the custom of shops, and knows no fillér.
const decimals = Object.fromEntries(currencyCodes.map((code) => [code, decimalsOf(code)]));
const currencies = `export const decimals = ${JSON.stringify(decimals)};\n`;

export function addConsoleRoutes(app: FastifyInstance): void {
  const files: [name: string, content: Buffer | string][] = readdirSync(folder).map((name) => [
    name,
    readFileSync(join(folder, name)),
  ]);
  files.push(['lit-html.js', readFileSync(library)], ['currencies.js', currencies]);
  for (const [name, content] of files) {
    const type = types[extname(name)] ?? 'application/octet-stream';
    const path = name === 'index.html' ? '/console' : `/console/${name}`;
    app.get(path, { schema: { hide: true } }, async (_request, reply) =>
      reply.type(type).header('content-security-policy', contentSecurityPolicy).send(content),
    );
  }
}
