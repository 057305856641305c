import { CompressError } from '../errors.ts';
import { addon } from './addon.ts';
import { expectInteger, expectLength } from './expect.ts';
import { type JobOptions, runJob } from './job.ts';
import { exactSize, type Floats, inDouble, inSingle } from './linalg.ts';

export interface DescentInput extends JobOptions {
  /** (rows, columns), one code a byte, below 2^bits. */
  readonly codes: Uint8Array;
  /** (rows, groups). */
  readonly scales: Float32Array;
  /** (rows, groups); null where every zero is 2^(bits-1). */
  readonly zeroPoints: Uint8Array | null;
  readonly rows: number;
  readonly columns: number;
  readonly groupSize: number;
  readonly bits: number;
  /** T = W·E[x_full xᵀ] (rows, columns): what the exact weight would give, against the inputs of the rounded one. */
  readonly target: Float64Array;
  /** A = E[x xᵀ] (columns, columns). */
  readonly inputs: Float64Array;
  /**
   * White noise in the inputs as they were and as they are: its power is added to the diagonal of A, and as many times W
   * (rows, columns) to T. Default none.
   */
  readonly noise?: { readonly power: number; readonly weight: Float32Array } | undefined;
  /** B = E[g gᵀ] (rows, rows) of the gradients at the outputs; the identity when absent. */
  readonly outputs?: Floats | undefined;
  /** How often every weight is visited at most. Default 4; less where hardly a code changes any more. */
  readonly passes?: number | undefined;
  /** Fit the scales to the codes after each pass. Default true. */
  readonly refit?: boolean | undefined;
  /** Part of the mean diagonal of B added to its diagonal. Default 0.1. */
  readonly ridge?: number | undefined;
  /** Type that fitted scales are stored in. Default float32. */
  readonly scaleType?: 'float32' | 'float16' | undefined;
  /** Products in double precision. Default: up to `exactSize` rows and columns. */
  readonly exact?: boolean | undefined;
  /** Compute `before` and `after`, which takes as long as half a pass; they are 0 without. Default true. */
  readonly measure?: boolean | undefined;
}

export interface DescentResult {
  readonly codes: Uint8Array;
  readonly scales: Float32Array;
  /** Codes changed, over all passes. */
  readonly changes: number;
  /** tr(B Q A Qᵀ) - 2 tr(B Q Tᵀ) at the start and at the end. */
  readonly before: number;
  readonly after: number;
}

/**
 * Coordinate descent on the codes of a rounded weight in the curvature of its site, with fits of the scales between
 * passes (curvature.md; rounding with two-sided Kronecker factors: YAQA, arXiv 2505.22988). The quadratic never rises.
 * @throws 'numeric' when the moments are not finite.
 */
export const descend = async (input: DescentInput): Promise<DescentResult> => {
  const { codes, scales, zeroPoints, rows, columns, groupSize, bits, target, inputs, noise, outputs } = input;
  const { passes = 4, refit = true, ridge = 0.1, scaleType = 'float32' } = input;
  expectInteger('the number of bits', bits, 1, 8);
  expectInteger('the group size', groupSize, 1, 2 ** 32 - 1);
  expectInteger('the number of passes', passes, 0, 10_000);
  const groups = Math.ceil(columns / groupSize);
  expectLength('codes', codes, rows * columns);
  expectLength('scales', scales, rows * groups);
  if (zeroPoints) expectLength('zero points', zeroPoints, rows * groups);
  expectLength('the target', target, rows * columns);
  expectLength('the input moment', inputs, columns * columns);
  if (noise) expectLength('the weight', noise.weight, rows * columns);
  if (outputs) expectLength('the output moment', outputs, rows * rows);
  if (!(ridge >= 0 && ridge < Number.POSITIVE_INFINITY))
    throw new CompressError({ code: 'usage', message: `a ridge of ${ridge} makes no sense`, hint: 'Use 0.1.' });
  const exact = input.exact ?? Math.max(rows, columns) <= exactSize;
  const options = {
    bits,
    passes,
    refit,
    ridge,
    halfScales: scaleType === 'float16',
    exact,
    measure: input.measure ?? true,
  };
  const start = { codes, scales, zeroPoints: zeroPoints ?? Uint8Array.of(2 ** (bits - 1)) };
  const weighted = outputs && { outputs: exact ? inDouble(outputs) : inSingle(outputs) };
  const noisy = noise ? { noise: noise.power, weight: noise.weight } : { noise: 0 };
  const metric = { target, inputs, ...noisy, ...weighted };
  return runJob(input, (control) => addon().descend(start, { rows, columns, groupSize }, metric, options, control));
};
