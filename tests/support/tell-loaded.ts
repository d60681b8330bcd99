// Preloaded into a process (`node --import`): says on stderr which packages it loads.

import { registerHooks } from 'node:module';

registerHooks({
  load: (url, context, next) => {
    if (url.includes('/node_modules/')) process.stderr.write(`loaded ${url}\n`);
    return next(url, context);
  },
});
