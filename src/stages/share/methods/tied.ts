import type { SharingMethod, SharingOption } from './method.ts';
import { withResiduals } from './residual.ts';

/**
 * Tied blocks with low-rank relaxation (Relaxed Recursive Transformers, 2410.20672): every layer reads the weight of one of
 * its group, W_l = W_s + left right, the product begun at the decomposition of what is missing. A layer's weight is copied,
 * each is tried: the mean of layers does worse without training.
 */
export const tiedLayers: SharingMethod = {
  name: 'tied',
  summary: 'layers read the weight of one of their group, with private low-rank rests (recursive, FoldGPT)',
  options: async (input, options) => {
    const found: SharingOption[] = [];
    for (const [source, { weight }] of input.layers.entries()) {
      const coefficients = input.layers.map(() => [1]);
      found.push(
        ...(await withResiduals({ label: `tied to layer ${source}`, atoms: [weight], coefficients }, input, options)),
      );
    }
    return found;
  },
};
