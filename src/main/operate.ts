// `dlq …`, `pause …`, `resume …`: what operators do, from a shell, over the same HTTP as the console.
//
// Promises: asks a running API and nothing else, so it works beside any product; what it answers is a line per thing, or
// with --json what the API said. A refusal is one sentence, exit code 2. Nothing is sent back without `--yes` but by a
// dry run. Relies on ORDERLY_URL and OPERATOR_TOKEN for where and as whom.

import type { System } from '../engine/ports.ts';
import { createAsk } from './ask-api.ts';
import { type OperateCommand, operateHelp } from './operate-options.ts';

type Letter = {
  id: string;
  orderId: string;
  consumer: string;
  code: string;
  message: string;
  failedAt: string;
  times: number;
};
type Group = {
  group: Record<string, unknown>;
  count: number;
  isAtLeast: boolean;
  newestAt: string;
  sampleMessage: string;
};
type Replay = {
  id: string;
  state: string;
  stateReason: string | null;
  stage: string;
  total: { count: number; isAtLeast: boolean };
} & Record<'sent' | 'done' | 'failed' | 'underWay' | 'skipped', number>;
type Pause = { kind: string; name: string; reason: string; by: string | null; until: string | null };

const followMs = 1_000;

export async function runOperate(options: {
  readonly command: OperateCommand;
  readonly url: string;
  readonly token: string | null;
  readonly system: Pick<System, 'after' | 'sleep'>;
  readonly signal: AbortSignal;
  readonly say: (text: string) => void;
}): Promise<void> {
  const { command, system, signal, say } = options;
  const ask = createAsk(options);
  const tell = <A>(answer: A, lines: (answer: A) => readonly string[]) =>
    command.json ? say(JSON.stringify(answer)) : lines(answer).forEach(say);
  const { filter } = command;
  const query = (more: Record<string, unknown> = {}) => {
    const given = Object.entries({ ...filter, ...more }).map(([name, value]): [string, string] => [
      name,
      String(value),
    ]);
    return given.length === 0 ? '' : `?${new URLSearchParams(given)}`;
  };
  const id = encodeURIComponent(command.id ?? '');

  // To its end, or until the reader has enough: the replay goes on without a reader.
  async function follow(started: Replay): Promise<void> {
    let replay = started;
    for (;;) {
      tell(replay, lineOfReplay);
      if (replay.state !== 'running' || signal.aborted) return;
      await system.sleep(followMs, signal);
      if (!signal.aborted) replay = await ask<Replay>('GET', `/dlq/replays/${replay.id}`);
    }
  }

  switch (command.act) {
    case 'help':
      return say(operateHelp());
    case 'list':
      return tell(
        await ask<{ items: Letter[]; nextCursor: string | null }>(
          'GET',
          `/dlq${query({ limit: command.limit ?? 20 })}`,
        ),
        (page) => [
          ...page.items.map(lineOfLetter),
          ...(page.nextCursor === null ? [] : [`more: --cursor ${page.nextCursor}`]),
        ],
      );
    case 'groups': {
      const by = command.by === null ? {} : { by: command.by };
      return tell(await ask<{ items: Group[]; total: Group }>('GET', `/dlq/groups${query(by)}`), ({ items, total }) => [
        ...items.map(lineOfGroup),
        `${countOf(total)} in all`,
      ]);
    }
    case 'show': {
      type Story = { letter: Letter; timeline: { at: string; text: string }[] };
      const story = await ask<Story>('GET', `/dlq/letters/${id}`);
      return tell(story, ({ letter, timeline }) => [
        lineOfLetter(letter),
        ...timeline.map(({ at, text }) => `  ${at}  ${text}`),
      ]);
    }
    case 'replay':
      if (command.id !== null) {
        return tell(
          await ask<{ order: { id: string; status: string } }>('POST', `/dlq/letters/${id}/reprocess`, {}),
          ({ order }) => [`sent back; order ${order.id} is ${order.status}`],
        );
      }
      if (!command.yes) {
        const body = { filter, dryRun: true, reason: command.reason ?? 'a dry run' };
        return tell(await ask<Group & { orders: number; samples: Letter[] }>('POST', '/dlq/replays', body), (found) => [
          ...found.samples.map(lineOfLetter),
          `${countOf(found)} of ${found.orders} orders would be sent back; --yes does it`,
        ]);
      }
      return follow(await ask<Replay>('POST', '/dlq/replays', { filter, reason: command.reason, rate: command.rate }));
    case 'discard': {
      const body = { reason: command.reason, cancelOrder: command.cancelOrder };
      return tell(
        await ask<{ order: { id: string; status: string } }>('POST', `/dlq/letters/${id}/discard`, body),
        ({ order }) => [`discarded; order ${order.id} is ${order.status}`],
      );
    }
    case 'pause': {
      const body = {
        ...command.held,
        reason: command.reason,
        ...(command.until === null ? {} : { until: command.until }),
      };
      return tell(await ask<Pause>('POST', '/operations/pauses', body), (pause) => [lineOfPause(pause)]);
    }
    case 'resume': {
      const { kind, name } = command.held ?? {};
      const still = await ask<{ items: Pause[] }>(
        'POST',
        `/operations/pauses/${kind}/${encodeURIComponent(name ?? '')}/resume`,
        {},
      );
      return tell(still, ({ items }) => ['resumed', ...items.map((pause) => `still ${lineOfPause(pause)}`)]);
    }
  }
}

const countOf = ({ count, isAtLeast }: { count: number; isAtLeast: boolean }) =>
  isAtLeast ? `${count} or more` : `${count}`;
const again = ({ times }: Letter) => (times > 1 ? ` (time ${times})` : '');
const lineOfLetter = (letter: Letter) =>
  `${letter.failedAt}  ${letter.id}  ${letter.consumer}  ${letter.code}${again(letter)}  ${letter.message}`;
const lineOfGroup = (group: Group) =>
  `${countOf(group).padStart(8)}  ${Object.entries(group.group)
    .map(([name, value]) => `${name}=${value ?? 'none'}`)
    .join(' ')}  ${group.sampleMessage}`;
const lineOfReplay = (replay: Replay) => [
  `${replay.id}  ${replay.state}${replay.stateReason === null ? '' : ` (${replay.stateReason})`}  ${replay.stage}  sent ${replay.sent} of ` +
    `${countOf(replay.total)}, done ${replay.done}, failed again ${replay.failed}, under way ${replay.underWay}, skipped ${replay.skipped}`,
];
const lineOfPause = ({ kind, name, reason, by, until }: Pause) =>
  `paused: ${kind} ${name}: ${reason}${by === null ? '' : ` (${by})`}${until === null ? '' : `, until ${until}`}`;
