import { siteTensor } from '../../analysis/site-weights.ts';
import { findSites } from '../../analysis/sites.ts';
import type { Program } from '../../ir/graph.ts';
import type { Model } from '../../ir/model.ts';
import { graphsWithin } from '../../ir/walk.ts';
import { selectSites } from '../select-sites.ts';
import type { SitePlan, StagePlan } from '../stage.ts';
import { planCodebookStage } from './codebook/plan.ts';
import type { QuantizeOptions } from './options.ts';
import type { PrecisionOptions } from './precision/options.ts';
import type { RefineOptions } from './refine/options.ts';
import { planWeights } from './weights/plan.ts';
import { planRows, planSummary } from './weights/plan-sites.ts';

/** Bytes of all constants of a program. */
const constantBytes = (program: Program): number => {
  let bytes = 0;
  for (const graph of graphsWithin(program.graph))
    for (const { tensor } of graph.initializers) bytes += tensor?.byteLength ?? 0;
  return bytes;
};

/** Integer weights with integer activations: a byte a weight, a scale a row. */
const planActivations = (
  program: Program,
  options: Extract<QuantizeOptions, { kind: 'static' | 'dynamic' }>,
): StagePlan => {
  const sites = findSites(program);
  const { kept, findings } = selectSites(sites, options);
  const counted = new Set<unknown>();
  const rows = sites.map((site): SitePlan => {
    const { name, op, rows, columns, weight } = site;
    const bytesBefore = counted.has(weight) ? 0 : siteTensor(site).byteLength;
    counted.add(weight);
    const common = { site: name, op, rows, columns, bytesBefore };
    const reason = kept.get(site);
    if (reason !== undefined) return { ...common, action: 'kept', reason, bytesAfter: bytesBefore };
    const scales = options.granularity === 'channel' ? rows * 4 : 4;
    const bytesAfter = bytesBefore === 0 ? 0 : rows * columns + scales;
    return { ...common, action: `int8 weights and activations, ${options.kind}`, bytesAfter };
  });
  const largest = Math.max(0, ...rows.map((row) => row.rows * row.columns * 9));
  return { sites: rows, memoryBytes: largest + rows.reduce((sum, row) => sum + row.bytesAfter, 0), findings };
};

/** Weights in another floating-point type; constants that are no weights follow. */
const planPrecision = (program: Program, options: PrecisionOptions): StagePlan => {
  const width = options.precision === 'float32' ? 4 : 2;
  const counted = new Set<unknown>();
  const rows = findSites(program).map((site): SitePlan => {
    const { name, op, rows, columns, weight } = site;
    const first = !counted.has(weight);
    counted.add(weight);
    return {
      site: name,
      op,
      rows,
      columns,
      action: options.precision,
      bytesBefore: first ? siteTensor(site).byteLength : 0,
      bytesAfter: first ? rows * columns * width : 0,
    };
  });
  return { sites: rows, memoryBytes: constantBytes(program), findings: [] };
};

/** A rounded site that is refined afterwards. */
const refinedRow = (row: SitePlan, rounded: ReadonlySet<string>, refine: RefineOptions | undefined): SitePlan =>
  refine && rounded.has(row.site) ? { ...row, action: `${row.action}, refined by ${refine.method}` } : row;

/** What the stage would do to every weight product, found without reading a weight. */
export const planQuantize = (model: Model, options: QuantizeOptions): StagePlan => {
  const { program } = model;
  switch (options.kind) {
    case 'weights': {
      const plan = planWeights(program, options, true);
      const rounded = new Set(plan.units.flatMap(({ sites }) => sites.map(({ name }) => name)));
      return { sites: planRows(plan).map((row) => refinedRow(row, rounded, options.refine)), ...planSummary(plan) };
    }
    case 'static':
    case 'dynamic':
      return planActivations(program, options);
    case 'precision':
      return planPrecision(program, options);
    case 'codebook':
      return planCodebookStage(program, options);
  }
};
