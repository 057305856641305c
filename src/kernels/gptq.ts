import { CompressError } from '../errors.ts';
import { addon } from './addon.ts';
import { expectInteger, expectLength } from './expect.ts';
import {
  type GridOptions,
  locateNonFinite,
  type RoundedWeight,
  toNativeGrid,
  toNativeMatrix,
  type WeightMatrix,
} from './grid.ts';
import { type JobOptions, runJob } from './job.ts';

export interface GptqInput extends WeightMatrix, GridOptions, JobOptions {
  /** H (columns, columns), symmetric: second moment of the inputs, at any scale. */
  readonly hessian: Float64Array;
  /**
   * Grids to round on, (rows, groups) each; zero points null where every zero is 2^(bits-1). By default they are chosen
   * from the weight. For targets that are not the weight itself (Qronos).
   */
  readonly grids?: { readonly scales: Float32Array; readonly zeroPoints: Uint8Array | null } | undefined;
  /** Round columns by falling diagonal of H rather than in natural order. */
  readonly actOrder: boolean;
  /** Part of the mean diagonal of H (columns that are not dead) added to its diagonal. Default 0.01. */
  readonly damp?: number | undefined;
  /** How often damping may grow tenfold when H cannot be factored. Default 0. */
  readonly maxDampRetries?: number | undefined;
  /** Columns after which the rest of the weight is updated by one product. Default 128. */
  readonly blockSize?: number | undefined;
  /** Update weights in double precision rather than single. About half as fast. Default false. */
  readonly exact?: boolean | undefined;
}

export interface GptqResult extends RoundedWeight {
  readonly dampUsed: number;
  readonly dampRetries: number;
  /** Columns whose input is always zero: their weights got the code of zero. */
  readonly deadColumns: number;
  /** ½ tr(E (H + damping) Eᵀ), E the error of the weight. */
  readonly loss: number;
}

/**
 * GPTQ (Frantar et al. 2022, arXiv 2210.17323, algorithm 1) on grids fixed from the original weights: codes come back
 * in natural order of columns whatever the order of rounding. Arrays must not change until the promise settles.
 * Matrices with the same inputs share the work on H when their rows are stacked into one weight.
 * @throws 'numeric' when a weight or H is not finite, or H is not positive definite with the last damping tried.
 */
export const gptq = async (input: GptqInput): Promise<GptqResult> => {
  const { hessian, columns, actOrder, damp = 0.01, maxDampRetries = 0, blockSize = 128, exact = false } = input;
  const matrix = toNativeMatrix(input);
  const grid = toNativeGrid(input, columns);
  expectLength('the Hessian', hessian, columns * columns);
  expectInteger('the number of retries', maxDampRetries, 0, 100);
  expectInteger('the block size', blockSize, 1, 2 ** 32 - 1);
  if (!(damp >= 0 && damp < Number.POSITIVE_INFINITY))
    throw new CompressError({ code: 'usage', message: `a damping of ${damp} makes no sense`, hint: 'Use 0.01.' });
  const options = { byActivation: actOrder, damp, retries: maxDampRetries, blockSize, exact };
  try {
    const { scales = null, zeroPoints = null } = input.grids ?? {};
    const found = await runJob(input, (control) =>
      addon().gptq(matrix, hessian, grid, options, scales, zeroPoints, control),
    );
    return {
      codes: found.codes,
      scales: found.scales,
      zeroPoints: found.zeroPoints ?? null,
      dampUsed: found.damp,
      dampRetries: found.retries,
      deadColumns: found.deadColumns,
      loss: found.loss,
    };
  } catch (error) {
    throw locateNonFinite(error, input);
  }
};
