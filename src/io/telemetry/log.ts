// Logs: structured JSON lines, or readable ones where a person watches the terminal.
//
// Promises: one line per happening, and in each service, role, host and pid; what looks like an address of a customer is
// blotted out, whoever wrote it. No reader of the log can hold up or end the process; see output.ts.

import { hostname } from 'node:os';
import pino, { type Logger } from 'pino';
import pretty from 'pino-pretty';
import { createOutput } from '../output.ts';

const readableStyle = {
  colorize: true,
  ignore: 'pid,host,service,role',
  singleLine: true,
  translateTime: 'SYS:HH:MM:ss.l',
} as const;

// For lines that another process wrote; what is no record stays as it is.
export function readableLine(): (line: string) => string {
  const format = pretty.prettyFactory(readableStyle);
  return (line) => (line.startsWith('{') ? (format(line) ?? '') : line);
}

export function createLog(options: {
  readonly level: string;
  readonly role: string;
  readonly isTerminal: boolean;
}): Logger {
  const { level, role, isTerminal } = options;
  const base = { service: 'orderly', role, host: hostname(), pid: process.pid };
  const serializers = { err: described };
  const onDropped = (lines: number) => log.warn({ lines }, 'nobody read this log for a while; lines were dropped');
  const output = createOutput(process.stdout, onDropped);
  const format = pretty.prettyFactory(readableStyle);
  const log: Logger = isTerminal
    ? pino({ level, base, serializers }, { write: (line) => output.write(format(withoutAddresses(line)) ?? '') })
    : pino(
        { level, base, serializers, timestamp: pino.stdTimeFunctions.isoTime },
        { write: (line) => output.write(withoutAddresses(line)) },
      );
  return log;
}

// Others' messages may quote what they were given: a mail server its recipient, a parser its text.
function withoutAddresses(line: string): string {
  return line.includes('@') ? line.replace(/[^\s"'<>()[\],;:=/\\@*]+@[\w-]+(?:\.[\w-]+)+/g, '***@***') : line;
}

// What tells a defect from another, and no more: the detail of a database's error quotes the row that was
// refused, customer and all.
function described(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const { type, message, stack } = pino.stdSerializers.err(error);
  const { code, constraint } = error as { code?: unknown; constraint?: unknown };
  return { type, message, stack, code, constraint };
}
