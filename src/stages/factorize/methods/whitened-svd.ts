import type { FactorMethod } from './method.ts';
import { weightedSvd } from './weighted-svd.ts';

/** Singular values of W A^½: the least output error of every rank (SVD-LLM, 2403.07378, truncation-aware whitening). */
export const whitenedSvd: FactorMethod = {
  name: 'whitened',
  summary: 'least error of the outputs on the calibration data (SVD-LLM)',
  looksAt: 'inputs',
  decompose: (input) => weightedSvd(input, { outputs: undefined, inputs: input.a }),
};
