// Requests by route and status.
//
// Promises: routes are the templates that the server knows, statuses those that its document names, and both are there
// at 0 from the start; a request for anything else counts under the route `none`.

import type { Registry } from 'prom-client';
import { callSeconds, instruments } from './instruments.ts';

export type HttpMetrics = {
  // At the start, for each route.
  readonly route: (method: string, route: string, statuses: readonly string[]) => void;
  // `route` is undefined where none matched.
  readonly answered: (method: string, route: string | undefined, status: number, seconds: number) => void;
};

export function createHttpMetrics(registry: Registry): HttpMetrics {
  const { counter, histogram } = instruments(registry);
  const requests = counter('orderly_http_requests_total', 'Requests that were answered', ['method', 'route', 'status']);
  const durations = histogram(
    ...(['orderly_http_request_duration_seconds', 'From the first byte of a request to its answer'] as const),
    ...([callSeconds, ['method', 'route']] as const),
  );
  return {
    route: (method, route, statuses) => {
      for (const status of statuses) requests.inc({ method, route, status }, 0);
      durations.zero({ method, route });
    },
    answered: (method, route, status, seconds) => {
      const labels = route === undefined ? { method: 'any', route: 'none' } : { method, route };
      requests.inc({ ...labels, status });
      durations.observe(labels, seconds);
    },
  };
}
