import type { FactorMethod } from './method.ts';
import { weightedSvd } from './weighted-svd.ts';

/**
 * Singular values in the curvature's metric: L = B'^½, R = A^½, so that what is cut off is what the loss feels least
 * (Generalized Fisher-Weighted SVD, 2505.17974, with both factors of K-FAC). B' = B + 0.01·mean(diag B): outputs that
 * no gradient reached on the calibration data keep a little weight.
 */
export const twoSidedSvd: FactorMethod = {
  name: 'two-sided',
  summary: 'singular values in the metric of inputs and of the loss at the outputs',
  looksAt: 'both',
  decompose: (input) => weightedSvd(input, { outputs: input.b && damped(input.b, input.rows), inputs: input.a }),
};

const damped = (b: Float64Array, rows: number): Float64Array => {
  let trace = 0;
  for (let row = 0; row < rows; row++) trace += b[row * rows + row]!;
  const matrix = Float64Array.from(b);
  for (let row = 0; row < rows; row++) matrix[row * rows + row]! += (0.01 * trace) / rows;
  return matrix;
};
