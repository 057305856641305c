import type { SharingMethod } from './method.ts';
import { withResiduals } from './residual.ts';

/**
 * Tied blocks with low-rank relaxation (Relaxed Recursive Transformers, 2410.20672): every layer reads the weight of the
 * first of its group, W_l = W_1 + left right, the product begun at the decomposition of what is missing. The earlier
 * layer is copied: the mean of layers does worse without training.
 */
export const tiedLayers: SharingMethod = {
  name: 'tied',
  summary: 'layers read the weight of the first of their group, with private low-rank rests (recursive, FoldGPT)',
  options: (input, options) =>
    withResiduals(
      { label: 'tied', atoms: [input.layers[0]!.weight], coefficients: input.layers.map(() => [1]) },
      input,
      options,
    ),
};
