import { readSiteMatrix, type SitePacking, siteTensor } from '../../../analysis/site-weights.ts';
import type { Site } from '../../../analysis/sites.ts';
import { CompressError } from '../../../errors.ts';
import { packRows } from '../../../kernels/index.ts';
import { roundingMethods } from '../methods/index.ts';
import type { Rounded, RoundingMethod, RoundingProblem, RoundingSettings } from '../methods/method.ts';
import type { WeightUnit } from './plan.ts';
import { groupSizeFor, storedBitsOf } from './scheme.ts';

/** A weight's integers and what there is to say about them. */
export interface RoundedUnit {
  readonly packing: SitePacking;
  readonly facts: Readonly<Record<string, number>>;
  readonly fallbacks: readonly string[];
}

/** What rounding a unit needs beside its matrix. */
export interface RoundingInputs {
  /** H of each convolution group (one for everything else); empty where nothing is known. */
  readonly grams: readonly Float64Array[];
  readonly settings: RoundingSettings;
  readonly signal: AbortSignal;
}

/** True when rounding this unit needs H. */
export const needsGram = (unit: WeightUnit): boolean =>
  roundingMethods[unit.method].needs === 'gram' || unit.scheme.clip === 'hessian';

/** Position of a matrix element in the site's tensor, as an index per axis. */
const elementOf = (site: Site, row: number, column: number): number[] => {
  const { shape } = siteTensor(site);
  const unravel = (flat: number, dims: readonly number[]): number[] => {
    const index: number[] = [];
    let rest = flat;
    for (const dim of dims.toReversed()) {
      index.unshift(rest % dim);
      rest = Math.floor(rest / dim);
    }
    return index;
  };
  if (site.layout === 'rows-last') return [column, row];
  if (site.layout === 'rows-first') return unravel(row * site.columns + column, shape);
  const [first = 0, ...kernel] = unravel(column, [shape[0] ?? 1, ...shape.slice(2)]);
  return [first, row, ...kernel];
};

/** Names the tensor and the element when a kernel found a number that cannot be rounded. */
const locate = (error: unknown, site: Site, weight: Float32Array, firstRow: number): unknown => {
  if (!(error instanceof CompressError) || error.code !== 'numeric') return error;
  const index = weight.findIndex((value) => !Number.isFinite(value));
  const where = { site: site.name, tensor: site.weight.name };
  if (index < 0)
    return new CompressError({
      code: 'numeric',
      message: error.message,
      where,
      ...(error.hint ? { hint: error.hint } : {}),
    });
  const element = elementOf(site, firstRow + Math.floor(index / site.columns), index % site.columns);
  return new CompressError({
    code: 'numeric',
    message: `element [${element.join(', ')}] is ${weight[index]}`,
    where,
    hint: 'The model file holds broken numbers: train or convert it again, or name the site in "ignore".',
    cause: error,
  });
};

const concatenate = (parts: readonly Rounded[]): Rounded => {
  const [first] = parts as readonly [Rounded, ...Rounded[]];
  if (parts.length === 1) return first;
  const bytes = (arrays: readonly Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(arrays));
  const scales = new Float32Array(parts.reduce((sum, part) => sum + part.scales.length, 0));
  let at = 0;
  for (const part of parts) {
    scales.set(part.scales, at);
    at += part.scales.length;
  }
  const facts: Record<string, number> = {};
  for (const part of parts)
    for (const [key, value] of Object.entries(part.facts)) facts[key] = Math.max(facts[key] ?? value, value);
  const fallback = parts.find((part) => part.fallback)?.fallback;
  return {
    codes: bytes(parts.map((part) => part.codes)),
    scales,
    zeroPoints: first.zeroPoints ? bytes(parts.map((part) => part.zeroPoints!)) : null,
    facts,
    ...(fallback ? { fallback } : {}),
  };
};

/** Rounds the rows of each convolution group by the H of that group's channels; everything at once without H. */
const roundByGroups = async (
  method: RoundingMethod,
  whole: RoundingProblem,
  site: Site,
  grams: readonly Float64Array[],
): Promise<Rounded> => {
  const groups = Math.max(1, grams.length);
  const rows = whole.rows / groups;
  const parts: Rounded[] = [];
  for (let group = 0; group < groups; group++) {
    const weight = whole.weight.subarray(group * rows * whole.columns, (group + 1) * rows * whole.columns);
    try {
      parts.push(await method.round({ ...whole, weight, rows, gram: grams[group] }));
    } catch (error) {
      throw locate(error, site, weight, group * rows);
    }
  }
  return concatenate(parts);
};

/** The matrix of a unit. Not to be changed. */
export const readUnit = (unit: WeightUnit): Float32Array => readSiteMatrix(unit.sites[0]);

/**
 * Chooses the integers of one weight.
 * @throws CompressError 'numeric' naming tensor and element for NaN and infinite weights, and for an H that no damping
 * makes positive definite; 'interrupted' when the signal fires.
 */
export const roundUnit = async (
  unit: WeightUnit,
  weight: Float32Array,
  inputs: RoundingInputs,
): Promise<RoundedUnit> => {
  const [site] = unit.sites;
  const { scheme } = unit;
  const { rows, columns } = site;
  const groupSize = groupSizeFor(scheme, columns);
  const problem: RoundingProblem = {
    weight,
    rows,
    columns,
    scheme,
    groupSize,
    gram: undefined,
    scaleType: siteTensor(site).dtype === 'float16' ? 'float16' : 'float32',
    settings: inputs.settings,
    signal: inputs.signal,
  };
  const rounded = await roundByGroups(roundingMethods[unit.method], problem, site, inputs.grams);
  const storedBits = storedBitsOf(scheme.bits);
  return {
    packing: {
      bits: scheme.bits,
      storedBits,
      groupSize,
      codes: packRows({ codes: rounded.codes, rows, columns, bits: storedBits }),
      scales: rounded.scales,
      zeroPoints: rounded.zeroPoints,
      method: unit.method,
    },
    facts: rounded.facts,
    fallbacks: rounded.fallback ? [rounded.fallback] : [],
  };
};
