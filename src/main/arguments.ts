// What the command line asks for: a role and what belongs to it.
//
// Promises: an answer that needs no further check, or one sentence that says what is wrong and what is
// possible; nothing is started here.
// Relies on the table of subscriptions for the names of consumers.

import { consumerNames, coreConsumers } from '../flow/subscriptions.ts';
import { type Role, roles } from './config.ts';
import { type OperateCommand, readOperate } from './operate-options.ts';
import { didYouMean } from './setting.ts';

export type Command =
  | { readonly run: 'help' | 'version' }
  | { readonly run: 'show'; readonly order: string }
  | OperateCommand
  | { readonly run: 'verify'; readonly given: readonly string[] }
  | { readonly run: 'worker'; readonly consumers: readonly string[] }
  // How many processes of a name there shall be; one where nothing is said.
  | { readonly run: 'start --processes'; readonly scale: ReadonlyMap<string, number> }
  | { readonly run: 'api' | 'relay' }
  | { readonly run: 'start' | 'migrate' | 'sandbox' | 'reindex' };
export type Mistake = { readonly mistake: string };

// More is a slip of the fingers on a machine that all of them share.
const scaleMax = 64;

export const allConsumers: readonly string[] = consumerNames;

export function readCommand(args: readonly string[]): Command | Mistake {
  const [role = 'help', ...rest] = args;
  if (['version', '--version', '-v'].includes(role)) return { run: 'version' };
  // After any role as well; `verify` has a page of its own.
  const asksForHelp = (word: string) => ['--help', '-h'].includes(word);
  if (role === 'help' || asksForHelp(role)) return { run: 'help' };
  if (role === 'verify') return { run: role, given: rest };
  // With a page of help of their own, too.
  if (role === 'dlq' || role === 'pause' || role === 'resume') return readOperate(role, rest);
  if (isRole(role) && rest.some(asksForHelp)) return { run: 'help' };
  if (role === 'show') return readShow(rest);
  if (role === 'worker') return readWorker(rest);
  if (role === 'start' && rest[0] === '--processes') return readProcesses(rest.slice(1));
  if (!isRole(role) || rest.length > 0) {
    const near = rest.length > 0 ? '' : didYouMean(role, roles);
    return { mistake: `"${args.join(' ')}" is no role: use one of ${roles.join(', ')}, help${near}.` };
  }
  return { run: role };
}

function isRole(role: string): role is Exclude<Role, 'verify' | 'worker' | 'show' | 'dlq' | 'pause' | 'resume'> {
  return (roles as readonly string[]).includes(role);
}

function readShow([order, ...more]: readonly string[]): Command | Mistake {
  if (order === undefined || more.length > 0) return { mistake: 'show takes the id of one order: show ORDER.' };
  return { run: 'show', order };
}

function readWorker(names: readonly string[]): Command | Mistake {
  for (const name of names) {
    if (allConsumers.includes(name)) continue;
    return { mistake: `"${name}" is no consumer: use ${listOf(allConsumers)}${didYouMean(name, allConsumers)}.` };
  }
  return { run: 'worker', consumers: names.length === 0 ? allConsumers : [...new Set(names)] };
}

// `--scale payment=3,relay=2`, once or several times.
function readProcesses(options: readonly string[]): Command | Mistake {
  const scale = new Map<string, number>();
  const scalable = ['relay', ...allConsumers];
  const example = `such as --scale ${coreConsumers.map((name) => `${name}=3`).join(',')}`;
  for (let index = 0; index < options.length; index += 2) {
    const [option = '', value = ''] = [options[index], options[index + 1]];
    if (option !== '--scale') return { mistake: `"${option}" is no option: use --scale, ${example}.` };
    for (const part of value.split(',')) {
      const [, name = '', count = ''] = /^([a-z]+)=(\d{1,4})$/.exec(part) ?? [];
      if (!scalable.includes(name)) {
        return {
          mistake: `"${part}" cannot be scaled: use ${listOf(scalable)}, ${example}${didYouMean(name, scalable)}.`,
        };
      }
      if (Number(count) > scaleMax) return { mistake: `"${part}": at most ${scaleMax} processes of a name.` };
      scale.set(name, Number(count));
    }
  }
  return { run: 'start --processes', scale };
}

const listOf = (names: readonly string[]) => names.join(', ');
