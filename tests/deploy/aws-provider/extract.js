// Makes schema.json: of the resources and data sources that deploy/terraform uses, every attribute with its type, what is
// required and which blocks there are, as the provider of AWS has them. They are read from the npm package
// @cdktn/provider-aws, which is generated from that provider:
//
//   npm install --prefix FOLDER --no-save --ignore-scripts @cdktn/provider-aws@25.7.0
//   node tests/deploy/aws-provider/extract.js FOLDER/node_modules/@cdktn/provider-aws/lib \
//     tests/deploy/aws-provider/schema.json deploy/terraform/*.tf
//
import fs from 'node:fs';
import path from 'node:path';

const [, , lib, out, ...terraform] = process.argv;
const want = new Set(
  terraform.flatMap((file) =>
    [...fs.readFileSync(file, 'utf8').matchAll(/^(resource|data) "(aws_[a-z0-9_]+)"/gm)].map(
      ([, kind, type]) => `${kind} ${type}`,
    ),
  ),
);
const kinds = [
  [/^cdktf\.Fn\.tolist\(this\.getListAttribute\('([^']+)'\)\)/, ['set', 'string']],
  [/^cdktf\.Token\.asNumberList\(cdktf\.Fn\.tolist\(this\.getNumberListAttribute\('([^']+)'\)\)\)/, ['set', 'number']],
  [/^this\.getStringAttribute\('([^']+)'\)/, 'string'],
  [/^this\.getNumberAttribute\('([^']+)'\)/, 'number'],
  [/^this\.getBooleanAttribute\('([^']+)'\)/, 'bool'],
  [/^this\.getListAttribute\('([^']+)'\)/, ['list', 'string']],
  [/^this\.getNumberListAttribute\('([^']+)'\)/, ['list', 'number']],
  [/^this\.getStringMapAttribute\('([^']+)'\)/, ['map', 'string']],
  [/^this\.getNumberMapAttribute\('([^']+)'\)/, ['map', 'number']],
  [/^this\.getBooleanMapAttribute\('([^']+)'\)/, ['map', 'bool']],
  [/^this\.getAnyMapAttribute\('([^']+)'\)/, 'dynamic'],
  [/^this\.interpolationForAttribute\('([^']+)'\)/, 'dynamic'],
];
function parse(file) {
  const src = fs.readFileSync(file, 'utf8').replaceAll('cdktn.', 'cdktf.');
  const classes = {};
  const re = /^(?:exports\.\w+ = )?class (\w+) extends cdktf\.(\w+) \{$/gm;
  const starts = [...src.matchAll(re)];
  for (const [i, m] of starts.entries()) {
    classes[m[1]] = { base: m[2], body: src.slice(m.index, starts[i + 1]?.index ?? src.length) };
  }
  const fn = /^function (\w+)ToHclTerraform\(struct\) \{([\s\S]*?)^\}/gm;
  const hcl = {};
  for (const m of src.matchAll(fn)) hcl[m[1].toLowerCase()] = m[2];
  const main = Object.entries(classes).find(
    ([, c]) => c.base === 'TerraformResource' || c.base === 'TerraformDataSource',
  );
  if (!main) return;
  const type = /tfResourceType = "([^"]+)"/.exec(src)?.[1];
  const isBlock = (text, name) =>
    new RegExp(`\\b${name}: \\{\\s*value: [\\s\\S]*?isBlock: (true|false)`).exec(text)?.[1] === 'true';
  function walk(cn, hclText) {
    const b = classes[cn].body,
      o = { attributes: {}, blocks: {} };
    for (const g of b.matchAll(/get (\w+)\(\) \{\s*(?:\/\/[^\n]*\s*)*return ([^;]+);/g)) {
      const [, js, expr] = g;
      if (/Input$/.test(js) && expr.startsWith('this._')) continue;
      if (js === 'internalValue') continue;
      const cap = js[0].toUpperCase() + js.slice(1);
      const settable = b.includes(`set ${js}(`) || b.includes(`put${cap}(`);
      const optional = b.includes(`reset${cap}()`);
      const flags = settable
        ? optional
          ? { optional: true, computed: true }
          : { required: true }
        : { computed: true };
      let hit = false;
      for (const [r, t] of kinds) {
        const k = r.exec(expr);
        if (k) {
          const isWriteOnly = settable && k[1].endsWith('_wo');
          o.attributes[k[1]] = { type: t, ...(isWriteOnly ? { optional: true, writeOnly: true } : flags) };
          hit = true;
          break;
        }
      }
      if (hit) continue;
      const d = new RegExp(`(?:this\\.)?_${js} = new (?:cdktf\\.)?(\\w+)\\(this, "([^"]+)"(?:, (true|false))?\\)`).exec(
        b,
      );
      if (!d) {
        continue;
      }
      const [, ref, tf, isSet] = d;
      if (!classes[ref]) {
        const t =
          { StringMap: ['map', 'string'], BooleanMap: ['map', 'bool'], NumberMap: ['map', 'number'] }[ref] ?? 'dynamic';
        o.attributes[tf] = { type: t, ...flags };
        continue;
      }
      if (!settable) {
        o.attributes[tf] = { type: 'dynamic', computed: true };
        continue;
      }
      const list = classes[ref].base === 'ComplexList';
      const inner = list ? ref.replace(/List$/, 'OutputReference') : ref;
      const iface = inner.replace(/OutputReference$/, '');
      if (!isBlock(hclText, tf)) {
        o.attributes[tf] = { type: 'dynamic', ...flags };
        continue;
      }
      const sub = walk(inner, hcl[iface.toLowerCase()] ?? '');
      o.blocks[tf] = {
        nesting: tf === 'timeouts' ? 'single' : list ? (isSet === 'true' ? 'set' : 'list') : 'list',
        max: list || tf === 'timeouts' ? 0 : 1,
        min: optional ? 0 : 1,
        ...sub,
      };
    }
    return o;
  }
  const mb = main[1].body.slice(main[1].body.indexOf('synthesizeHclAttributes'));
  return { type, data: main[1].base === 'TerraformDataSource', schema: walk(main[0], mb) };
}
const res = { notice: '', resources: {}, data: {} };
for (const d of fs.readdirSync(lib)) {
  const f = path.join(lib, d, 'index.js');
  if (!fs.existsSync(f) || d === 'provider') continue;
  const tf = `aws_${d.replace(/^data-aws-/, '').replace(/-/g, '_')}`;
  if (!want.has(`${d.startsWith('data-aws-') ? 'data' : 'resource'} ${tf}`)) continue;
  const p = parse(f);
  if (p?.type) (p.data ? res.data : res.resources)[p.type] = p.schema;
}
{
  // provider block
  const p = parse2(path.join(lib, 'provider', 'index.js'));
  res.provider = p;
}
function parse2(f) {
  const src = fs.readFileSync(f, 'utf8');
  const seg = src.slice(src.indexOf('synthesizeHclAttributes'));
  const o = { attributes: {}, blocks: {} };
  for (const m of seg.matchAll(
    /(\w+): \{\s*value: [^\n]+\n\s*isBlock: (true|false),\s*type: "(\w+)",\s*storageClassType: "(\w+)"/g,
  )) {
    const t =
      {
        string: 'string',
        number: 'number',
        boolean: 'bool',
        stringList: ['list', 'string'],
        stringMap: ['map', 'string'],
      }[m[4]] ?? 'dynamic';
    if (m[2] === 'false') o.attributes[m[1]] = { type: t, optional: true };
    else {
      const fnName = m[4].replace(/List$/, '');
      const ft =
        new RegExp(
          `^function ${fnName[0].toLowerCase() + fnName.slice(1)}ToHclTerraform\\(struct\\) \\{([\\s\\S]*?)^\\}`,
          'm',
        ).exec(src)?.[1] ?? '';
      const sub = { attributes: {}, blocks: {} };
      for (const k of ft.matchAll(
        /(\w+): \{\s*value: [^\n]+\n\s*isBlock: (true|false),\s*type: "(\w+)",\s*storageClassType: "(\w+)"/g,
      ))
        sub.attributes[k[1]] = {
          type:
            {
              string: 'string',
              number: 'number',
              boolean: 'bool',
              stringList: ['list', 'string'],
              stringMap: ['map', 'string'],
            }[k[4]] ?? 'dynamic',
          optional: true,
        };
      o.blocks[m[1]] = { nesting: 'list', max: 0, min: 0, ...sub };
    }
  }
  return o;
}
const sorted = (some) => Object.fromEntries(Object.entries(some).sort());
res.notice =
  'Derived from the Terraform provider of AWS 6.66.0, Mozilla Public License 2.0, by way of @cdktn/provider-aws 25.7.0.';
res.resources = sorted(res.resources);
res.data = sorted(res.data);
fs.writeFileSync(out, `${JSON.stringify(res)}\n`);
console.log(
  Object.keys(res.resources).length,
  'resources',
  Object.keys(res.data).length,
  'data sources',
  fs.statSync(out).size,
  'bytes',
);
