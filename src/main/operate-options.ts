// What is said after `dlq`, `pause` and `resume`, and their page of help.
//
// Promises: an answer that needs no further check but the API's own, or one sentence that says what is wrong.
// Relies on node's own reading of options.

import { parseArgs } from 'node:util';

const acts = ['list', 'groups', 'show', 'replay', 'discard'] as const;
export type OperateCommand = {
  readonly run: 'dlq' | 'pause' | 'resume';
  readonly act: 'help' | (typeof acts)[number] | 'pause' | 'resume';
  readonly id: string | null;
  readonly filter: Readonly<Record<string, string | number>>;
  readonly held: { readonly kind: string; readonly name: string } | null;
  readonly by: string | null;
  readonly limit: number | null;
  readonly reason: string | null;
  readonly rate: number | null;
  readonly until: string | null;
  readonly yes: boolean;
  readonly cancelOrder: boolean;
  readonly json: boolean;
};

const filters = ['consumer', 'code', 'partner', 'country', 'currency', 'order', 'from', 'to', 'text'] as const;
const amounts = ['amount-min', 'amount-max'] as const;
const text = { type: 'string' } as const;
const flag = { type: 'boolean' } as const;
const options = {
  ...Object.fromEntries([...filters, ...amounts].map((name) => [name, text])),
  ...{ state: text, cursor: text, by: text, limit: text, reason: text, rate: text, until: text },
  ...{ yes: flag, 'cancel-order': flag, json: flag, help: { ...flag, short: 'h' } },
} as const;

export function readOperate(run: OperateCommand['run'], args: readonly string[]): OperateCommand | { mistake: string } {
  let read: { values: Record<string, string | boolean | undefined>; positionals: string[] };
  try {
    read = parseArgs({ args: [...args], options, allowPositionals: true });
  } catch (error) {
    return { mistake: `${(error as Error).message.split('.')[0]}: see \`${run} --help\`.` };
  }
  const { values, positionals } = read;
  const said = (name: string) => (typeof values[name] === 'string' ? (values[name] as string) : null);
  const number = (name: string) => (said(name) === null ? null : Number(said(name)));
  const wrong = ['limit', 'rate', ...amounts].find((name) => Number.isNaN(number(name)));
  if (wrong !== undefined) return { mistake: `--${wrong} ${said(wrong)} is no number.` };
  const [first, second, ...more] = positionals;
  const isHelp = values.help === true || (run === 'dlq' && first === undefined);
  const act = isHelp ? 'help' : run === 'dlq' ? first : run;
  const named = {
    ...Object.fromEntries(filters.map((name) => [name === 'order' ? 'orderId' : name, said(name)])),
    ...{ amountMin: number('amount-min'), amountMax: number('amount-max') },
    ...(act === 'list' ? { state: said('state'), cursor: said('cursor') } : {}),
  };
  const filter = Object.fromEntries(
    Object.entries(named).flatMap(([name, value]) => (value === null ? [] : [[name, value]])),
  );
  const command: OperateCommand = {
    run,
    act: act as OperateCommand['act'],
    id: run === 'dlq' ? (second ?? null) : null,
    ...{ filter, held: run === 'dlq' || second === undefined ? null : { kind: first ?? '', name: second } },
    ...{ by: said('by'), limit: number('limit'), reason: said('reason'), rate: number('rate'), until: said('until') },
    ...{ yes: values.yes === true, cancelOrder: values['cancel-order'] === true, json: values.json === true },
  };
  return isHelp ? command : (mistakeIn(command, first, more) ?? command);
}

function mistakeIn(
  command: OperateCommand,
  first: string | undefined,
  more: readonly string[],
): { mistake: string } | null {
  const { run, act, id, held, reason, yes } = command;
  const complain = (mistake: string) => ({ mistake: `${mistake} See \`${run} --help\`.` });
  if (more.length > 0) return complain(`"${more.join(' ')}" is too much.`);
  if (run !== 'dlq') {
    if (held === null) return complain(`${run} takes what is meant: ${run} consumer payment, for one.`);
    return run === 'pause' && reason === null ? complain('pause takes a reason: --reason "…".') : null;
  }
  if (!(acts as readonly string[]).includes(act)) return complain(`"${first}" is none of ${acts.join(', ')}.`);
  if (['show', 'discard'].includes(act) && id === null) return complain(`${act} takes the id of a dead letter.`);
  const needsReason = act === 'discard' || (act === 'replay' && id === null && yes);
  return needsReason && reason === null ? complain(`${act} takes a reason: --reason "…".`) : null;
}

export const operateHelp = () => `Dead letters and pauses from a shell, over the HTTP of a running API.

Usage: npm run orderly -- COMMAND [OPTIONS]

  dlq groups [FILTER] [--by consumer,code,country]   how many there are, by cause
  dlq list [FILTER] [--state closed] [--limit 50]    newest first
  dlq show ID                                        one, with the timeline of its order
  dlq replay ID                                      sends one back
  dlq replay [FILTER]                                says how many would be sent back
  dlq replay [FILTER] --yes --reason TEXT [--rate N] sends them back: one canary, then 1, 5, 20, 100 per second, or N
  dlq discard ID --reason TEXT [--cancel-order]      ends one without its work being done
  pause consumer|partner|order NAME --reason TEXT [--until TIME]
  resume consumer|partner|order NAME

FILTER: --consumer --code --partner --country --currency --order ID --amount-min --amount-max --from TIME --to TIME
        --text WORDS
Everywhere: --json answers what the API said; --help is this page.

Settings: ORDERLY_URL, where the API is (absent = at HOST and PORT); OPERATOR_TOKEN, as whom (the first, where it has several).
`;
