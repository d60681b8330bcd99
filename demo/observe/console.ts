// The dashboard of deploy/grafana as a page of Prometheus itself: the same queries, by the library that its own pages
// are drawn with. For a machine without a Grafana.
//
// Relies on the files that Debian's package has under /classic/static.

type Dashboard = {
  readonly title: string;
  readonly panels: readonly {
    readonly title: string;
    readonly targets?: readonly { readonly expr: string; readonly legendFormat?: string }[];
    readonly fieldConfig?: { readonly defaults?: { readonly unit?: string } };
  }[];
};

const interval = '30s';
const shownS = 180;

export function toConsole(dashboards: readonly Dashboard[]): string {
  const panels = dashboards.flatMap((one) => one.panels).filter(({ targets = [] }) => targets.length > 0);
  const graphs = panels.map(({ title, targets = [], fieldConfig }, index) => {
    const graph = {
      expr: targets.map(({ expr }) => expr.replaceAll('$__rate_interval', interval)),
      name: targets.map(({ legendFormat = '' }) => legendFormat.replaceAll('{{', '[[').replaceAll('}}', ']]')),
      yUnits: fieldConfig?.defaults?.unit === 's' ? ' s' : '',
      duration: shownS,
      height: 150,
    };
    return { title, id: `graph${index}`, graph };
  });
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Orderly</title>
<link rel="stylesheet" href="/classic/static/bootstrap4/css/bootstrap.min.css">
<link rel="stylesheet" href="/classic/static/rickshaw/rickshaw.min.css">
<link rel="stylesheet" href="/classic/static/css/prom_console.css">
<script src="/classic/static/jquery/jquery.min.js"></script>
<script src="/classic/static/d3/d3.min.js"></script>
<script src="/classic/static/rickshaw/rickshaw.min.js"></script>
<script>const PATH_PREFIX = '';</script>
<script src="/classic/static/js/prom_console.js"></script>
<style>
body { padding: 1rem 2rem } main { display: grid; grid-template-columns: repeat(3, 1fr); gap: 1rem 2rem }
section > div { max-height: 15rem; overflow: auto } h1 { font-size: 1.3rem } h2 { font-size: 1rem; margin: 0 } a { margin-right: 1rem }
</style></head><body>
<h1>Orderly, the last ${shownS / 60} minutes</h1>
<p><a href="/classic/alerts">Alerts</a><a href="/classic/graph">Any query</a><a href="/classic/targets">Processes</a></p>
<main>
${graphs.map(({ title, id }) => `<section><h2>${title}</h2><div id="${id}"></div></section>`).join('\n')}
</main>
<script>
${graphs.map(({ id, graph }) => `draw(${JSON.stringify(id)}, ${JSON.stringify(graph)});`).join('\n')}
function draw(id, { name, ...graph }) {
  const fill = (text) => (labels) => text.replace(/\\[\\[\\s*(\\w+)\\s*\\]\\]/g, (_, label) => labels[label] || '');
  const words = (labels) => Object.entries(labels).filter(([key]) => !/^(__name__|job)$/.test(key)).map(([, of]) => of).join(' ');
  new PromConsole.Graph({ node: document.querySelector('#' + id), ...graph, name: name.map((one) => (one ? fill(one) : words)),
    yAxisFormatter: PromConsole.NumberFormatter.humanize, yHoverFormatter: PromConsole.NumberFormatter.humanize });
}
setInterval(() => location.reload(), 30000);
</script></body></html>
`;
}
