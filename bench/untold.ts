// Preloaded into a process that is to tell nothing (`node --import`): its counting is exchanged for nothing, so that what
// metrics cost can be measured. Nothing else is changed.

import { registerHooks } from 'node:module';

const emptied: Readonly<Record<string, string>> = {
  '/src/io/telemetry/work-metrics.ts': `import { silentObserver } from '../../engine/observer.ts';
    export const createWorkMetrics = (registry) => {
      const own = new Counter({ name: 'orderly_jobs_total', help: '-', labelNames: ['consumer', 'end'], registers: [registry] });
      const settled = ({ consumer }, { state }) => own.inc({ consumer, end: state });
      return { ...silentObserver, settled };
    };
    import { Counter } from 'prom-client';`,
  '/src/io/telemetry/http-metrics.ts': 'export const createHttpMetrics = () => ({ route() {}, answered() {} });',
};

registerHooks({
  load: (url, context, next) => {
    const [, source] = Object.entries(emptied).find(([end]) => url.endsWith(end)) ?? [];
    return source === undefined ? next(url, context) : { format: 'module', source, shortCircuit: true };
  },
});
