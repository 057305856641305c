import type { Site } from '../../analysis/sites.ts';
import { floatsOfArray } from '../../execution/arrays.ts';
import type { PairObservation } from '../../execution/block-runner.ts';
import { elementCount } from '../../ir/shape.ts';
import { CrossGram } from '../../kernels/index.ts';
import { gramObstacle } from './gram.ts';

/** Cross moments of the inputs of sites: what to observe, and where to find the sums afterwards. */
export interface SiteCrosses {
  readonly observations: readonly PairObservation[];
  /** Σ x_original xᵀ (columns, columns); undefined for convolutions, whose unfolded pairs are not gathered. */
  crossOf(site: Site): CrossGram | undefined;
}

const isProduct = (site: Site): boolean => site.op === 'MatMul' || site.op === 'Gemm';

/**
 * Declares G = Σ x_original xᵀ of the inputs of matrix products, x_original the same input in the model as it was
 * before anything was quantized: a sum for each distinct input.
 */
export const siteCrosses = (sites: readonly Site[]): SiteCrosses => {
  const byInput = new Map<Site['input'], CrossGram>();
  const observations: PairObservation[] = [];
  for (const site of sites) {
    if (gramObstacle(site) || !isProduct(site) || byInput.has(site.input)) continue;
    const cross = new CrossGram(site.columns, site.columns);
    byInput.set(site.input, cross);
    observations.push({
      value: site.input,
      observe: (original, present) =>
        cross.add(floatsOfArray(original), floatsOfArray(present), elementCount(present.shape) / site.columns),
    });
  }
  return { observations, crossOf: (site) => (isProduct(site) ? byInput.get(site.input) : undefined) };
};
