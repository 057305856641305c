import type { GramAccumulator } from '../kernels/index.ts';

/**
 * The curvature of one site y = W x (curvature.md): second moments of its inputs and of the loss' gradient at its output.
 * The loss of quality of changing W by ΔW is ½·scale·tr(B ΔW A ΔWᵀ) in nats per scored item, A and B as means.
 */
export interface SiteCurvature {
  readonly site: string;
  readonly rows: number;
  /** Columns of the matrix; those of one group for a grouped convolution. */
  readonly columns: number;
  /** Σ x xᵀ over positions, one a convolution group (one otherwise): each (columns, columns). */
  readonly inputs: readonly GramAccumulator[];
  /** Σ g gᵀ over positions: (rows, rows). Undefined where no gradient reaches the site. */
  readonly gradients: GramAccumulator | undefined;
  /** Positions at which the site was seen, and items (scored tokens, images) that had a label. */
  readonly positions: number;
  readonly items: number;
}

/** All sites of a model, by name, and what the curvature was collected on. */
export interface Curvature {
  readonly sites: ReadonlyMap<string, SiteCurvature>;
  readonly samples: number;
}

/** A = mean of x xᵀ over positions, of one convolution group: (columns, columns). */
export const inputMoment = (curvature: SiteCurvature, group = 0): Float64Array => {
  const gram = curvature.inputs[group]!;
  const count = Math.max(1, gram.count);
  return gram.matrix().map((sum) => sum / count);
};

/** B = mean of g gᵀ over positions: (rows, rows); undefined where no gradient reaches the site. */
export const gradientMoment = (curvature: SiteCurvature): Float64Array | undefined => {
  const gram = curvature.gradients;
  if (!gram) return undefined;
  const count = Math.max(1, gram.count);
  return gram.matrix().map((sum) => sum / count);
};

/** Positions an item: 1 for language models scored at every token, the number of output positions for a convolution. */
export const positionsPerItem = (curvature: SiteCurvature): number =>
  curvature.items > 0 ? curvature.positions / curvature.items : 1;
