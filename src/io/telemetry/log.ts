// Logs: structured JSON lines, or readable ones where a person watches the terminal.
//
// Promises: one line per happening, with the ids to search by; never a secret, never a customer's
// address; nothing on the hot path above `debug`. Written synchronously, so that the last line before a
// crash is there.

import pino, { type Logger } from 'pino';
import pretty from 'pino-pretty';

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
  if (!isTerminal) {
    const timestamp = pino.stdTimeFunctions.isoTime;
    return pino({ level, base, serializers, timestamp }, pino.destination({ sync: true }));
  }
  const stream = pretty({ ...readableStyle, sync: true });
  return pino({ level, base, serializers }, stream);
}

// What tells a defect from another, and no more: the detail of a database's error quotes the row that was
// refused, customer and all.
function described(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const { type, message, stack } = pino.stdSerializers.err(error);
  const { code, constraint } = error as { code?: unknown; constraint?: unknown };
  return { type, message, stack, code, constraint };
}
