import { readSiteMatrix, writeSiteMatrix } from '../analysis/site-weights.ts';
import type { Site } from '../analysis/sites.ts';
import type { Value } from '../ir/graph.ts';
import { matmul } from '../kernels/index.ts';
import type { RefitFold } from './refit.ts';
import type { FactorPair } from './refit-targets.ts';

/** A weight that was written as two products, and how it is decomposed. */
export interface FactoredWeight {
  /** What is compared with the original in place of the product's own output: the sum that it is a part of. */
  readonly compared?: Value;
  readonly rows: number;
  readonly columns: number;
  /** W before: (rows, columns). */
  readonly weight: () => Float64Array;
  /**
   * Factors of a changed weight (rows, columns) at a rank, for inputs with second moments a (columns, columns), up to a
   * factor: left (rows, rank), right (rank, columns).
   */
  readonly factors: (
    weight: Float64Array,
    a: Float64Array,
    rank: number,
  ) => Promise<{ readonly left: Float64Array; readonly right: Float64Array }>;
}

/** How far the product of two factors is from the weight that they stand for. */
export interface FactorGap {
  /** left · right: (rows, columns). */
  readonly present: Float64Array;
  /** The weight before it was factorised minus `present`. */
  readonly missing: Float64Array;
}

export const factorGap = async (
  { inner, source }: FactorPair,
  outer: Site,
  signal: AbortSignal,
): Promise<FactorGap> => {
  const { rows } = outer;
  const present = await matmul({
    a: Float64Array.from(readSiteMatrix(outer)),
    rows,
    inner: inner.rows,
    b: Float64Array.from(readSiteMatrix(inner)),
    columns: inner.columns,
    signal,
  });
  return { present, missing: source.weight().map((value, index) => value - present[index]!) };
};

/** Σ e zᵀ as it would be if the weight were whole again: e − (W − left · right) z. */
export const crossOfWhole = async (
  { cross, inputs }: RefitFold,
  { missing }: FactorGap,
  { rows, columns, signal }: { readonly rows: number; readonly columns: number; readonly signal: AbortSignal },
): Promise<RefitFold> => {
  const given = await matmul({ a: missing, rows, inner: columns, b: inputs, columns, signal });
  return { inputs, cross: cross.map((value, index) => value - given[index]!) };
};

/** Writes new factors of a corrected weight, and gives their product. */
export const writeFactors = async (
  { inner, source }: FactorPair,
  outer: Site,
  corrected: Float64Array,
  inputs: Float64Array,
  signal: AbortSignal,
): Promise<Float64Array> => {
  const { left, right } = await source.factors(corrected, inputs, inner.rows);
  writeSiteMatrix(outer, Float32Array.from(left));
  writeSiteMatrix(inner, Float32Array.from(right));
  const { rows } = outer;
  return matmul({ a: left, rows, inner: inner.rows, b: right, columns: inner.columns, signal });
};
