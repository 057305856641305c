import { internalError } from '../../../errors.ts';
import { descend } from '../../../kernels/index.ts';
import { inputNoise } from './input-noise.ts';
import type { RoundingMethod } from './method.ts';
import { momentProduct } from './moment-product.ts';
import { qronos } from './qronos.ts';

/**
 * Qronos, then coordinate descent on the integers in the curvature of the whole model, with fits of the scales: what
 * counts is the predicted loss tr(B E A Eᵀ), not the error of the site's own output (curvature.md; two-sided Kronecker
 * factors for rounding: YAQA, arXiv 2505.22988). Where B is not known the descent minimises the output error.
 */
export const curvature: RoundingMethod = {
  ...qronos,
  name: 'curvature',
  summary: 'qronos, then descent on the integers in the curvature of the whole model: the least loss, the most time',
  needs: 'curvature',
  async refine(problem, start) {
    const { weight, rows, columns, groupSize, scheme, scaleType, gram, outputMoment, signal } = problem;
    if (!gram) throw internalError('the descent was called without H');
    const target = problem.target ?? (await momentProduct(weight, gram, problem));
    const { codes, scales, changes } = await descend({
      ...start,
      rows,
      columns,
      groupSize,
      bits: scheme.bits,
      target,
      inputs: gram,
      noise: { power: inputNoise(problem, gram).power, weight },
      outputs: outputMoment,
      scaleType,
      measure: false,
      signal,
    });
    return { ...start, codes, scales, facts: { ...start.facts, changed: changes / (rows * columns) } };
  },
};
