// Where the engine says which work belongs to which: a trace, by spans that are begun by hand.
//
// Promises: nothing depends on a tracer; no function of it throws or waits. What lies between two processes is the
// traceparent (W3C Trace Context) that is stored with an event. What is done at once for an event is a part of its
// trace; what is delayed, repeated, or done for many is a trace of its own with links, so that none grows for hours.
// The tracer that traces nothing hands a traceparent on as it came.

import type { Change, Event, Hint, Step, Work } from './ports.ts';

export type Attributes = Readonly<Record<string, string | number | boolean>>;
export type SpanKind = 'server' | 'client' | 'producer' | 'consumer';
export type SpanStart = {
  readonly name: string;
  readonly kind: SpanKind;
  // The traceparent that it is a part of; null = a trace of its own, with links to those that it is about.
  readonly parent: string | null;
  readonly links?: readonly string[];
  // Asked for only where the span is shown.
  readonly attributes: () => Attributes;
};
export type Span = {
  // For what is begun within it; null = nothing is traced, and nothing was.
  readonly traceparent: string | null;
  // A span that is never ended is never shown. `error` = the code of what failed.
  readonly end: (more?: Attributes, error?: string | null) => void;
};

export type Tracer = {
  readonly start: (span: SpanStart) => Span;
  // What is called by `work` finds the span's traceparent as the current one.
  readonly within: <T>(span: Span, work: () => T) => T;
  readonly current: () => string | null;
  // Whether somebody will see what belongs to this.
  readonly isShown: (traceparent: string | null) => boolean;
};

const nothing = () => {};
export const handOn = (traceparent: string | null): Span => ({ traceparent, end: nothing });
export const silentTracer: Tracer = {
  start: ({ parent, links = [] }) => handOn(parent ?? links[0] ?? null),
  within: (_, work) => work(),
  current: () => null,
  isShown: () => false,
};

// The names are those of OpenTelemetry's semantic conventions for messaging.
const messaging = (operation: string, destination: string): Attributes => ({
  'messaging.system': 'orderly',
  'messaging.operation.name': operation,
  'messaging.operation.type': operation,
  'messaging.destination.name': destination,
});

// From a hint to the answer to its claim; ended only where there was something to do.
export function startReceive(
  tracer: Tracer,
  { consumer }: Step,
  { subject, traceparent }: Pick<Hint, 'subject' | 'traceparent'>,
): Span {
  const attributes = () => ({ ...messaging('receive', consumer), 'orderly.order.id': subject });
  return tracer.start({ name: `receive ${consumer}`, kind: 'client', parent: traceparent ?? null, attributes });
}

// An attempt, from its claim to its end.
export function startProcess(tracer: Tracer, work: Work): Span {
  const { consumer, event, attempt, epoch, takenOver, waitedMs } = work;
  const isFirst = attempt === 1 && epoch === 0 && waitedMs === 0 && !takenOver;
  const { traceparent } = event;
  return tracer.start({
    name: `process ${consumer}`,
    kind: 'consumer',
    ...(isFirst || traceparent === null ? { parent: traceparent } : { parent: null, links: [traceparent] }),
    attributes: () => ({
      ...messaging('process', consumer),
      ...ofEvent(event),
      'orderly.attempt': attempt,
      'orderly.epoch': epoch,
      'orderly.taken_over': takenOver,
    }),
  });
}

export function startSettle(tracer: Tracer, { consumer, event }: Work, parent: string | null): Span {
  const attributes = () => ({ ...messaging('settle', consumer), ...ofEvent(event) });
  return tracer.start({ name: `settle ${consumer}`, kind: 'client', parent, attributes });
}

const ofEvent = ({ id, type, subject, correlationId }: Event): Attributes => ({
  'messaging.message.id': id,
  'messaging.message.conversation_id': correlationId,
  'orderly.event.type': type,
  'orderly.order.id': subject,
});

export function startCreate(tracer: Tracer, types: readonly string[], subject: string, parent: string | null): Span {
  const what = types.join(', ');
  const attributes = () => ({ ...messaging('create', what), 'orderly.order.id': subject });
  return tracer.start({ name: `create ${what}`, kind: 'producer', parent, attributes });
}

// The events of a change and the span in which they are created. A decision that is made again, because its transaction
// was rolled back, begins a new one; that of the last one counts.
export function createCreation(tracer: Tracer, parent: () => string | null) {
  let span: Span | null = null;
  return {
    // The same change, for events of this creation.
    mark: <C extends Change>(change: C): C => {
      span = null;
      if (change.events.length === 0) return change;
      const types = change.events.map(({ type }) => type);
      span = startCreate(tracer, types, change.order.id, parent());
      return { ...change, traceparent: span.traceparent };
    },
    stored: () => span?.end(),
  };
}

// A batch has as many links at most; SDKs drop more.
const linksMax = 128;

// Many events are a trace of their own with a link to each that is traced; where none is, neither are they.
export async function inBatch<T>(
  tracer: Tracer,
  named: { readonly operation: 'send' | 'process'; readonly reader: string },
  traceparents: readonly (string | null)[],
  work: () => Promise<T>,
): Promise<T> {
  const links = traceparents.filter((one) => one !== null).filter(tracer.isShown);
  if (links.length === 0) return work();
  const { operation, reader } = named;
  const span = tracer.start({
    name: `${operation} ${reader}`,
    kind: operation === 'send' ? 'client' : 'consumer',
    parent: null,
    links: links.slice(0, linksMax),
    attributes: () => ({ ...messaging(operation, reader), 'messaging.batch.message_count': traceparents.length }),
  });
  try {
    const done = await work();
    span.end();
    return done;
  } catch (error) {
    span.end({}, error instanceof Error ? error.name : 'unknown');
    throw error;
  }
}
