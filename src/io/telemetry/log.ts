// Logs: structured JSON lines, or readable ones where a person watches the terminal.
//
// Promises: one line per happening, with the ids to search by; never a secret, never a customer's
// address; nothing on the hot path above `debug`. No reader of the log can hold up or end the process; see
// output.ts.

import pino, { type Logger } from 'pino';
import pretty from 'pino-pretty';
import { createOutput } from '../output.ts';

const readableStyle = { colorize: true, ignore: 'pid,hostname,service', translateTime: 'SYS:HH:MM:ss.l' } as const;

// For lines that another process wrote; what is no record stays as it is.
export function readableLine(): (line: string) => string {
  const format = pretty.prettyFactory({ ...readableStyle, singleLine: true });
  return (line) => (line.startsWith('{') ? (format(line) ?? '') : line);
}

export function createLog(options: { readonly level: string; readonly isTerminal: boolean }): Logger {
  const { level, isTerminal } = options;
  const base = { service: 'orderly' };
  const serializers = { err: described };
  const onDropped = (lines: number) => log.warn({ lines }, 'nobody read this log for a while; lines were dropped');
  const output = createOutput(process.stdout, onDropped);
  const format = pretty.prettyFactory(readableStyle);
  const log: Logger = isTerminal
    ? pino({ level, base, serializers }, { write: (line) => output.write(format(line) ?? '') })
    : pino({ level, base, serializers, timestamp: pino.stdTimeFunctions.isoTime }, output);
  return log;
}

// What tells a defect from another, and no more: the detail of a database's error quotes the row that was
// refused, customer and all.
function described(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const { type, message, stack } = pino.stdSerializers.err(error);
  const { code, constraint } = error as { code?: unknown; constraint?: unknown };
  return { type, message, stack, code, constraint };
}
