import { internalError } from '../../../errors.ts';
import type { ClipSearch } from '../../../kernels/index.ts';
import type { RoundingProblem } from './method.ts';

/** diag H + noise (columns). */
const diagonalOf = (gram: Float64Array, columns: number, noise: number): Float64Array =>
  Float64Array.from({ length: columns }, (_, column) => gram[column * (columns + 1)]! + noise);

/**
 * The search over shrunken ranges that a scheme asks for. 'mse': the one of GPTQ's reference (100 steps down to a fifth
 * of the range, exponent 2.4; Frantar et al. 2022). 'hessian': squared error with column j weighted by H_jj, the
 * diagonal of the layer's quadratic loss.
 * @param noise power of the noise in the inputs that the method rounds for
 */
export const clipSearchFor = (problem: RoundingProblem, noise = 0): ClipSearch | undefined => {
  switch (problem.scheme.clip) {
    case 'none':
      return undefined;
    case 'mse':
      return { grid: 100, maxShrink: 0.8, norm: 2.4 };
    case 'auto':
      throw internalError('the range search must be decided before a method is called');
    case 'hessian':
      if (!problem.gram) throw internalError('a clip search weighted by H was asked for without H');
      return { grid: 100, maxShrink: 0.8, norm: 2, weights: diagonalOf(problem.gram, problem.columns, noise) };
  }
};
