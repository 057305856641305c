import { CompressError } from '../errors.ts';
import { expectInteger, expectLength, expectSize } from './expect.ts';
import { firstNonFinite } from './float.ts';
import type { NativeGrid, NativeMatrix } from './native.ts';

/**
 * How a grid lies around zero. Codes are unsigned, `weight = (code - zero) · scale`.
 * - 'asymmetric': least to greatest weight with zero included, an integer zero point of its own.
 * - 'symmetric': zero point 2^(bits-1); the weight of largest magnitude, with its sign, is code 0, so the scale may be
 *   negative and the whole range is used (least error).
 * - 'symmetric-narrow': zero point 2^(bits-1), codes within ±(2^(bits-1)-1) of it, positive scale.
 */
export type GridScheme = 'asymmetric' | 'symmetric' | 'symmetric-narrow';

/**
 * A search over ranges shrunk by 1 - i/grid for i < maxShrink · grid, for the least
 * Σ_columns weights · |weight - rounded|^norm in each group (GPTQ, Frantar et al. 2022, reference implementation).
 */
export interface ClipSearch {
  /** Steps that a factor of 1 is divided into: 100 is usual. */
  readonly grid: number;
  /** Largest part that may be cut off, 0..1: 0.8 is usual. */
  readonly maxShrink: number;
  /** Exponent of the error: 2.4 is usual, 2 the fastest. */
  readonly norm: number;
  /** Importance of each column, non-negative, e.g. the diagonal of the Hessian. All equal when absent. */
  readonly weights?: Float64Array | undefined;
}

export interface GridOptions {
  /** Bits of a code, 1..8 (2..8 for 'symmetric-narrow'). */
  readonly bits: number;
  /** Columns that share a scale; the last group of a row may be shorter. */
  readonly groupSize: number;
  readonly scheme: GridScheme;
  /** Type that scales will be stored in: they are rounded to it before codes are chosen. Default 'float32'. */
  readonly scaleType?: 'float32' | 'float16' | undefined;
  readonly clip?: ClipSearch | undefined;
}

/** A matrix (rows, columns), row-major. */
export interface WeightMatrix {
  readonly weight: Float32Array;
  readonly rows: number;
  readonly columns: number;
}

/** Scales and zero points, both (rows, groups); null zero points stand for 2^(bits-1) everywhere. */
export interface Grids {
  readonly scales: Float32Array<ArrayBuffer>;
  readonly zeroPoints: Uint8Array<ArrayBuffer> | null;
}

/** Codes (rows, columns), one a byte, and their grids. */
export interface RoundedWeight extends Grids {
  readonly codes: Uint8Array<ArrayBuffer>;
}

/** Checks a matrix's promises. */
export const toNativeMatrix = ({ weight, rows, columns }: WeightMatrix): NativeMatrix => {
  expectSize(rows, columns);
  expectLength('weight', weight, rows * columns);
  return { weight, rows, columns };
};

/** Checks grid options against a matrix with `columns` columns. */
export const toNativeGrid = (options: GridOptions, columns: number): NativeGrid => {
  const { bits, groupSize, scheme, scaleType = 'float32', clip } = options;
  expectInteger('the number of bits', bits, scheme === 'symmetric-narrow' ? 2 : 1, 8);
  expectInteger('the group size', groupSize, 1, 2 ** 32 - 1);
  const grid = { bits, groupSize, scheme, scaleType };
  if (!clip) return grid;
  const { grid: steps, maxShrink, norm, weights } = clip;
  expectInteger('the steps of the clip search', steps, 1, 10_000);
  if (!(maxShrink >= 0 && maxShrink <= 1 && norm > 0 && norm <= 16))
    throw new CompressError({
      code: 'usage',
      message: `a clip search with maxShrink ${maxShrink} and norm ${norm} makes no sense`,
      hint: 'Use a maxShrink within 0 and 1 and a positive norm up to 16.',
    });
  if (weights) {
    expectLength('importances', weights, columns);
    const bad = weights.findIndex((weight) => !(weight >= 0 && weight < Number.POSITIVE_INFINITY));
    if (bad >= 0)
      throw new CompressError({
        code: 'numeric',
        message: `the importance of column ${bad} is ${weights[bad]}, which is not a non-negative number`,
      });
  }
  return { ...grid, clip: { grid: steps, maxShrink, norm, ...(weights ? { weights } : {}) } };
};

/** Adds the exact place to a kernel's complaint about weights that are not finite. */
export const locateNonFinite = (error: unknown, { weight, columns }: WeightMatrix): unknown => {
  if (!(error instanceof CompressError) || error.code !== 'numeric') return error;
  const index = firstNonFinite(weight);
  if (index < 0) return error;
  return new CompressError({
    code: 'numeric',
    message: `the weight in row ${Math.floor(index / columns)}, column ${index % columns} is ${weight[index]}`,
    hint: 'The model file holds broken numbers: train or convert it again, or leave this weight out.',
    cause: error,
  });
};
