import type { FactorMethod } from './method.ts';
import { weightedSvd } from './weighted-svd.ts';

/** Singular values of W itself: the least error of the weights. For comparison. */
export const plainSvd: FactorMethod = {
  name: 'plain',
  summary: 'least error of the weights themselves; looks at no data',
  looksAt: 'nothing',
  decompose: (input) => weightedSvd(input, { outputs: undefined, inputs: undefined }),
};
