import { readSiteMatrix, type SitePacking, siteTensor } from '../../../analysis/site-weights.ts';
import type { Site } from '../../../analysis/sites.ts';
import { CompressError } from '../../../errors.ts';
import { packRows } from '../../../kernels/index.ts';
import { roundWithBestClip } from '../methods/best-clip.ts';
import { roundingMethods } from '../methods/index.ts';
import type { Rounded, RoundingMethod, RoundingProblem, RoundingSettings } from '../methods/method.ts';
import type { WeightUnit } from './plan.ts';
import { measureError } from './rounding-error.ts';
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

/** The parts of a weight as one; of each fact the largest. */
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

/**
 * Rounds the rows of each convolution group by the H of that group's channels (everything at once without H), and
 * measures the error relative to what it is an error of.
 */
const roundByGroups = async (
  method: RoundingMethod,
  whole: RoundingProblem,
  site: Site,
  grams: readonly Float64Array[],
): Promise<{ rounded: Rounded; relativeError: number }> => {
  const groups = Math.max(1, grams.length);
  const rows = whole.rows / groups;
  const parts: Rounded[] = [];
  let error = 0;
  let signal = 0;
  for (let group = 0; group < groups; group++) {
    const weight = whole.weight.subarray(group * rows * whole.columns, (group + 1) * rows * whole.columns);
    const problem = { ...whole, weight, rows, gram: grams[group] };
    try {
      const automatic = whole.scheme.clip === 'auto';
      const part = automatic ? await roundWithBestClip(method, problem) : await method.round(problem);
      const share = await measureError(problem, part);
      error += share.error;
      signal += share.signal;
      parts.push(part);
    } catch (caught) {
      throw locate(caught, site, weight, group * rows);
    }
  }
  return { rounded: concatenate(parts), relativeError: signal > 0 ? error / signal : 0 };
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
  const method = roundingMethods[unit.method];
  const { rounded, relativeError } = await roundByGroups(method, problem, site, inputs.grams);
  const errorName = inputs.grams.length > 0 ? 'output_error' : 'weight_error';
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
    facts: { [errorName]: relativeError, ...rounded.facts },
    fallbacks: rounded.fallback ? [rounded.fallback] : [],
  };
};
