import { siteTensor } from '../../../analysis/site-weights.ts';
import { findSites, type Site } from '../../../analysis/sites.ts';
import { CodebookTensor } from '../../../ir/codebook-tensor.ts';
import type { Program, Value } from '../../../ir/graph.ts';
import { PackedTensor } from '../../../ir/packed-tensor.ts';
import type { Finding } from '../../../recipe/events.ts';
import { selectSites } from '../../../stages/select-sites.ts';
import type { SitePlan, StagePlan } from '../../stage.ts';
import type { CodebookOptions } from './options.ts';

/** One constant that becomes codes, and the first site that reads it. */
interface CodebookUnit {
  readonly site: Site;
  readonly weight: Value;
}

interface CodebookPlan {
  readonly units: readonly CodebookUnit[];
  readonly kept: ReadonlyMap<Site, string>;
  readonly sites: readonly Site[];
  readonly findings: readonly Finding[];
}

/** Elements that share a scale of NormalFloat: what bitsandbytes and onnxruntime use. */
export const nf4BlockSize = 64;

const obstacleOf = (site: Site, others: readonly Site[], { codebook }: CodebookOptions): string | undefined => {
  const tensor = siteTensor(site);
  if (tensor instanceof PackedTensor || tensor instanceof CodebookTensor) return 'it is quantized already';
  if (tensor.dtype !== 'float32' && tensor.dtype !== 'float16')
    return `${tensor.dtype} weights are not rounded to tables`;
  if (codebook === 'nf4' && (site.op !== 'MatMul' || site.node.inputs[site.weightIndex] !== site.weight))
    return 'no operator multiplies codes of NormalFloat here';
  if (codebook === 'nf4' && others.some(({ op }) => op === 'Gather')) return 'it is a table that is looked up, too';
  if (site.layout === 'rows-second' || (tensor.shape.length !== 2 && site.op !== 'Conv'))
    return `a weight of ${site.op} is not put together from rows`;
  return undefined;
};

/** The constants that become codes, in execution order. Reads no weight. */
export const planCodebooks = (program: Program, options: CodebookOptions): CodebookPlan => {
  const sites = findSites(program);
  const { chosen, kept: unselected, findings } = selectSites(sites, options);
  const kept = new Map(unselected);
  const units = new Map<Value, CodebookUnit>();
  for (const site of chosen) {
    const { weight } = site;
    const readers = sites.filter((other) => other.weight === weight);
    const obstacle = obstacleOf(site, readers, options);
    if (obstacle !== undefined) kept.set(site, obstacle);
    else if (!units.has(weight)) units.set(weight, { site, weight });
  }
  return { units: [...units.values()], kept, sites, findings };
};

const bytesOf = ({ rows, columns }: Site, { codebook, bits }: CodebookOptions): number =>
  codebook === 'nf4'
    ? Math.ceil((rows * columns) / 2) + 4 * Math.ceil((rows * columns) / nf4BlockSize)
    : Math.ceil((rows * columns * bits) / 8) + rows * 2 ** bits * 2;

/** What would become codes, with the bytes of codes and tables. */
export const planCodebookStage = (program: Program, options: CodebookOptions): StagePlan => {
  const { units, kept, sites, findings } = planCodebooks(program, options);
  const chosen = new Set(units.map(({ weight }) => weight));
  const counted = new Set<Value>();
  const rows = sites.map((site): SitePlan => {
    const { name, op, rows: count, columns, weight } = site;
    const bytesBefore = counted.has(weight) ? 0 : siteTensor(site).byteLength;
    counted.add(weight);
    const common = { site: name, op, rows: count, columns, bytesBefore };
    const reason = kept.get(site);
    if (reason !== undefined || !chosen.has(weight))
      return { ...common, action: 'kept', reason: reason ?? 'not a target', bytesAfter: bytesBefore };
    const action =
      options.codebook === 'nf4' ? 'NormalFloat of 4 bits' : `tables of ${2 ** options.bits} entries, one a row`;
    return { ...common, action, bytesAfter: bytesBefore === 0 ? 0 : bytesOf(site, options) };
  });
  const largest = Math.max(0, ...units.map(({ site }) => 5 * site.rows * site.columns + 24 * site.columns ** 2));
  return { sites: rows, memoryBytes: largest, findings };
};
