import { siteTensor } from '../../../analysis/site-weights.ts';
import type { Site } from '../../../analysis/sites.ts';
import { gramBytes } from '../../../calibration/statistics/gram.ts';
import type { Finding } from '../../../recipe/events.ts';
import type { SitePlan } from '../../stage.ts';
import { methodNeedsInputs, needsGram, type WeightPlan, type WeightUnit } from './plan.ts';
import { describeScheme, groupSizeFor, packedBytes, type WeightScheme } from './scheme.ts';

const rowOf = (site: Site): Pick<SitePlan, 'site' | 'op' | 'rows' | 'columns'> => ({
  site: site.name,
  op: site.op,
  rows: site.rows,
  columns: site.columns,
});

const unitRows = (unit: WeightUnit): SitePlan[] =>
  unit.sites.map((site, index) => {
    const depends = unit.chosenBy === 'auto' && methodNeedsInputs(unit.method);
    const method = depends ? `${unit.method} with calibration data, else rtn` : unit.method;
    const action = `${describeScheme(unit.scheme)} ${method}`;
    if (index > 0) return { ...rowOf(site), action, reason: `shared with ${unit.name}`, bytesBefore: 0, bytesAfter: 0 };
    return {
      ...rowOf(site),
      action,
      bytesBefore: siteTensor(site).byteLength,
      bytesAfter: packedBytes(unit.scheme, site.rows, site.columns),
      packing: { bits: unit.scheme.bits, groupSize: groupSizeFor(unit.scheme, site.columns) },
    };
  });

/** One row per site of the program in execution order; a constant that several sites share counts once. */
export const planRows = (plan: WeightPlan): SitePlan[] => {
  const planned = new Map(plan.units.flatMap((unit) => unitRows(unit)).map((row) => [row.site, row]));
  const counted = new Set<unknown>();
  return plan.sites.map((site) => {
    const row = planned.get(site.name);
    if (row) return row;
    const bytes = counted.has(site.weight) ? 0 : siteTensor(site).byteLength;
    counted.add(site.weight);
    const reason = plan.kept.get(site) ?? 'not a target';
    return { ...rowOf(site), action: 'kept', reason, bytesBefore: bytes, bytesAfter: bytes };
  });
};

/** Schemes that com.microsoft operators cannot carry, once each. */
const schemeFindings = (units: readonly WeightUnit[]): Finding[] => {
  const odd = new Map<string, WeightScheme>();
  for (const { scheme, sites } of units) {
    const { groupSize } = scheme;
    if (groupSize !== 'row' && groupSize < sites[0].columns && groupSize % 16 !== 0)
      odd.set(describeScheme(scheme), scheme);
  }
  return [...odd.keys()].map((name) => ({
    kind: 'warning',
    text: `${name}: groups that no power of two from 16 on divides cannot be written as MatMulNBits; DequantizeLinear carries them`,
  }));
};

/** Mean width over the weights of units whose width differs. */
export const averageFinding = (units: readonly WeightUnit[]): Finding[] => {
  if (new Set(units.map(({ scheme }) => scheme.bits)).size < 2) return [];
  const sizes = units.map(({ sites: [site], scheme }) => ({ weights: site.rows * site.columns, bits: scheme.bits }));
  const weights = sizes.reduce((sum, size) => sum + size.weights, 0);
  const bits = sizes.reduce((sum, size) => sum + size.bits * size.weights, 0);
  return [{ kind: 'fact', text: `codes have ${(bits / weights).toFixed(2)} bits on average over ${weights} weights` }];
};

/** Weights that integers with scales and zero points make larger. */
export const growthFindings = (units: readonly WeightUnit[]): Finding[] =>
  units.flatMap(({ name, scheme, sites: [site] }) => {
    const [before, after] = [siteTensor(site).byteLength, packedBytes(scheme, site.rows, site.columns)];
    if (after <= before) return [];
    const text = `${name} would take ${after} bytes instead of ${before}: scales and zero points outweigh what its integers save`;
    return [{ kind: 'warning' as const, site: name, text }];
  });

/** Bytes that rounding needs at once beside the program: the packed results, and the largest weight with its H. */
const memoryFor = (units: readonly WeightUnit[]): number => {
  let results = 0;
  let largest = 0;
  const gramsByBlock = new Map<number | undefined, Map<unknown, number>>();
  for (const unit of units) {
    const [site] = unit.sites;
    const { rows, columns, block, input } = site;
    results += packedBytes(unit.scheme, rows, columns);
    // The matrix as stored, as (rows, columns), the next one being read, and codes.
    largest = Math.max(largest, rows * columns * (4 + 4 + 8 + 1));
    if (!needsGram(unit)) continue;
    const grams = gramsByBlock.get(block) ?? new Map<unknown, number>();
    gramsByBlock.set(block, grams.set(input, gramBytes(site)));
  }
  const perBlock = [...gramsByBlock.values()].map((grams) =>
    [...grams.values()].reduce((sum, bytes) => sum + bytes, 0),
  );
  return results + largest + Math.max(0, ...perBlock);
};

/** What the rounding of weights will take and what there is to say about it, before anything is read. */
export const planSummary = (
  plan: WeightPlan,
): { readonly memoryBytes: number; readonly findings: readonly Finding[] } => ({
  memoryBytes: memoryFor(plan.units),
  findings: [
    ...plan.findings,
    ...averageFinding(plan.units),
    ...growthFindings(plan.units),
    ...schemeFindings(plan.units),
  ],
});
