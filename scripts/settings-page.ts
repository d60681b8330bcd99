// docs/settings.md: every setting with its default and its meaning, as the table of settings has them.
//
// Promises: nothing of it is written by hand. Relies on src/main/settings.ts, which the help page shows as well.

import { settingGroups } from '../src/main/settings.ts';

export function settingsPage(): string {
  const groups = Object.entries(settingGroups).map(([title, group]) =>
    [
      `## ${title}`,
      '',
      '| setting | default | meaning |',
      '|---|---|---|',
      ...Object.entries(group).map(([name, { initial, meaning }]) => {
        const shown = `${initial ?? ''}`;
        return `| \`${name}\` | ${shown === '' ? '–' : `\`${shown}\``} | ${meaning.replaceAll('|', '\\|')} |`;
      }),
    ].join('\n'),
  );
  return `${[head, ...groups].join('\n\n')}\n`;
}

const head = `# Settings

Environment variables, all optional; \`npm run orderly -- help\` prints the same. A bad value, or an unknown name that
begins with \`ORDER_WORKER_\` or \`ORDERLY_\`, stops the start with exit code 2 and one line per mistake. Written by
\`npm run documents\`.`;
