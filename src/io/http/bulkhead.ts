// How much of a process and its database those who read may take: one request of a connection at a time, and for what
// meets the database a few slots that all of them share, so that neither a crowd of readers nor one of them stands in
// anybody's way.
//
// Promises: what does not get a slot in time is answered 503 with Retry-After; a request whose client has left is not
// worked on; a client that sends on without reading loses its connection. The answer of a request is with its client, or
// at least with the kernel, before the next one of the same connection begins, so that who does not read costs the
// memory of one answer. Placing orders has a queue of its own (engine/group-commit.ts) and the rest of the pool.

import { setMaxListeners } from 'node:events';
import type { ServerResponse } from 'node:http';
import type { FastifyInstance, FastifyReply, FastifyRequest, RouteHandlerMethod, RouteOptions } from 'fastify';
import { type System, UnavailableError } from '../../engine/ports.ts';
import { createSemaphore, type Semaphore } from '../../engine/semaphore.ts';

// Who has waited this long is better told to come back.
const patienceMs = 2_000;
// Requests that wait for a slot: far more than can be served in that time. Who is told at once to come back may do so
// at once (500 such clients took the whole of a process); who is let wait first comes back every two seconds at most.
const waitingMax = 2_048;
// Requests that a client sends before it has the answers: more than any browser or proxy does (they send one).
const unansweredMax = 64;
// Who goes on sending all the same does not read: each request and its refusal would be kept until it does.
const refusedMax = 4 * unansweredMax;

type Connection = { readonly turn: Semaphore; readonly gone: AbortSignal; unanswered: number };

export type Bulkhead = {
  // Counts a request on its connection; an error where too many wait there for their answers.
  readonly count: (request: FastifyRequest, reply: FastifyReply) => UnavailableError | null;
  // Bounds all routes that are added from here on.
  readonly bound: (routes: FastifyInstance, boundOf: (route: RouteOptions) => Bound) => void;
};
// `slot`: reads or changes in the database, in a slot. `search`: the same, after it has asked the search. `turn`: costs
// this process alone, such as a page. `attended`: bounded elsewhere; runs for whoever is still there.
export type Bound = 'slot' | 'search' | 'turn' | 'attended';

// Slots, and who has one or waits for one.
type Share = { readonly slots: Semaphore; readonly presentMax: number; present: number };
const shareOf = (slotsMax: number): Share => ({
  slots: createSemaphore(slotsMax),
  presentMax: slotsMax + waitingMax,
  present: 0,
});

export function createBulkhead(options: {
  readonly slotsMax: number;
  // Slots of their own for searches, of which a search elsewhere that keeps silent may hold all; null = they have none.
  readonly searchesMax?: number | null;
  readonly system: System;
}): Bulkhead {
  const { slotsMax, searchesMax = null, system } = options;
  const reads = shareOf(slotsMax);
  const searches = searchesMax === null ? reads : shareOf(searchesMax);
  const connections = new WeakMap<object, Connection>();

  function connectionOf({ raw: { socket } }: FastifyRequest): Connection {
    const known = connections.get(socket);
    if (known !== undefined) return known;
    const gone = new AbortController();
    setMaxListeners(unansweredMax + 1, gone.signal);
    socket.once('close', () => gone.abort());
    const connection = { turn: createSemaphore(1), gone: gone.signal, unanswered: 0 };
    connections.set(socket, connection);
    return connection;
  }

  const busy = () => new UnavailableError('nothing', 'too many requests are under way');

  // False where the client has left meanwhile.
  async function takeSlot({ slots }: Share, gone: AbortSignal): Promise<boolean> {
    const late = new AbortController();
    const timer = system.after(patienceMs, () => late.abort());
    try {
      await slots.acquire(AbortSignal.any([gone, late.signal]));
      return true;
    } catch {
      if (gone.aborted) return false;
      throw busy();
    } finally {
      timer.cancel();
    }
  }

  const inTurn = (handler: RouteHandlerMethod): RouteHandlerMethod =>
    async function (request, reply) {
      const { turn, gone } = connectionOf(request);
      const hasTurn = await turn.acquire(gone).then(
        () => true,
        () => false,
      );
      if (!hasTurn) return reply.hijack();
      onceAnswered(reply.raw, turn.release);
      return handler.call(this, request, reply);
    };
  const inSlot = (handler: RouteHandlerMethod, share: Share): RouteHandlerMethod =>
    async function (request, reply) {
      if (share.present >= share.presentMax) throw busy();
      share.present += 1;
      try {
        if (!(await takeSlot(share, connectionOf(request).gone))) return reply.hijack();
        // Given back before the answer is sent: a client that reads slowly holds its connection's turn, and no slot.
        return await Promise.resolve(handler.call(this, request, reply)).finally(share.slots.release);
      } finally {
        share.present -= 1;
      }
    };
  const ifAttended = (handler: RouteHandlerMethod): RouteHandlerMethod =>
    async function (request, reply) {
      return request.raw.socket.destroyed ? reply.hijack() : handler.call(this, request, reply);
    };
  const bounds: Readonly<Record<Bound, (handler: RouteHandlerMethod) => RouteHandlerMethod>> = {
    slot: (handler) => inTurn(inSlot(handler, reads)),
    search: (handler) => inTurn(inSlot(handler, searches)),
    turn: inTurn,
    attended: ifAttended,
  };

  return {
    count: (request, reply) => {
      const connection = connectionOf(request);
      connection.unanswered += 1;
      onceAnswered(reply.raw, () => {
        connection.unanswered -= 1;
      });
      if (connection.unanswered <= unansweredMax) return null;
      if (connection.unanswered > refusedMax) request.raw.socket.destroy();
      return new UnavailableError('nothing', 'too many requests of this connection wait for their answers');
    },
    bound: (routes, boundOf) => {
      // Fastify makes HEAD of GET, with the handler as it is by then.
      const bounded = new WeakSet<object>();
      routes.addHook('onRoute', (route) => {
        if (bounded.has(route.handler)) return;
        route.handler = bounds[boundOf(route)](route.handler);
        bounded.add(route.handler);
      });
    },
  };
}

function onceAnswered(response: ServerResponse, call: () => void): void {
  let isAnswered = false;
  const answered = () => {
    if (isAnswered) return;
    isAnswered = true;
    call();
  };
  response.once('finish', answered).once('close', answered);
}
