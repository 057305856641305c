import { internalError } from '../errors.ts';

/** A sum of squares over positions: Σ x xᵀ ('full'), or its diagonal alone where the whole would be too large. */
export interface Moment {
  readonly kind: 'full' | 'diagonal';
  readonly n: number;
  /** Positions summed over. */
  readonly count: number;
  /** Σ x² of each element: (n), made anew. */
  diagonal(): Float64Array;
  /** Σ x xᵀ: (n, n), made anew. An internal error for a 'diagonal'. */
  matrix(): Float64Array;
}

/**
 * The curvature of one site y = W x (curvature.md): second moments of its inputs and of the loss' gradient at its output.
 * The loss of quality of changing W by ΔW is ½·scale·tr(B ΔW A ΔWᵀ) in nats per scored item, A and B as means. What is
 * read from a store is read when a moment is asked for its numbers.
 */
export interface SiteCurvature {
  readonly site: string;
  readonly rows: number;
  /** Columns of the matrix; those of one group for a grouped convolution. */
  readonly columns: number;
  /** Σ x xᵀ over positions, one a convolution group (one otherwise): each (columns, columns). */
  readonly inputs: readonly Moment[];
  /**
   * Σ g gᵀ over positions: (rows, rows); the diagonal alone for outputs of more than `mostFullRows` (a vocabulary).
   * Undefined where no gradient reaches the site.
   */
  readonly gradients: Moment | undefined;
  /** Positions at which the site was seen, and items (scored tokens, images) that had a label. */
  readonly positions: number;
  readonly items: number;
  /**
   * Trace of the Fisher information over the site's weights in nats an item: the mean squared gradient of W. 0 where it
   * was not looked at.
   */
  readonly trace: number;
}

/** All sites of a model, by name, and what the curvature was collected on. */
export interface Curvature {
  readonly sites: ReadonlyMap<string, SiteCurvature>;
  readonly samples: number;
}

/** Outputs beyond this many rows have the diagonal of B alone: 4096 rows take 128 MiB. */
export const mostFullRows = 4096;

/** Sums that a moment has made anew, divided in place. */
const meanOf = (sums: Float64Array, count: number): Float64Array => {
  const divisor = Math.max(1, count);
  for (let index = 0; index < sums.length; index++) sums[index]! /= divisor;
  return sums;
};

const groupMoment = (curvature: SiteCurvature, group: number): Moment => {
  const moment = curvature.inputs[group];
  if (moment) return moment;
  throw internalError(`there is no group ${group} of inputs`, { site: curvature.site });
};

/** A = mean of x xᵀ over positions, of one convolution group: (columns, columns). */
export const inputMoment = (curvature: SiteCurvature, group = 0): Float64Array => {
  const moment = groupMoment(curvature, group);
  return meanOf(moment.matrix(), moment.count);
};

/** diag A of one convolution group: (columns). */
export const inputDiagonal = (curvature: SiteCurvature, group = 0): Float64Array => {
  const moment = groupMoment(curvature, group);
  return meanOf(moment.diagonal(), moment.count);
};

/**
 * B = mean of g gᵀ over positions: (rows, rows). Undefined where no gradient reaches the site, and where the output is so
 * large that only the diagonal is known (`gradientDiagonal`).
 */
export const gradientMoment = ({ gradients }: SiteCurvature): Float64Array | undefined =>
  gradients?.kind === 'full' ? meanOf(gradients.matrix(), gradients.count) : undefined;

/** diag B: (rows); undefined where no gradient reaches the site. */
export const gradientDiagonal = ({ gradients }: SiteCurvature): Float64Array | undefined =>
  gradients && meanOf(gradients.diagonal(), gradients.count);

/**
 * What ½ tr(B ΔW A ΔWᵀ) is multiplied by to be a loss in nats an item. Taken as independent, the positions of an item
 * add up to (positions per item) · tr A · tr B for the trace of the Fisher information; where they are not (the
 * positions of a convolution see much the same, a value is looked at by all later tokens) the true trace says by how
 * much the whole is larger or smaller.
 */
export const lossScale = (curvature: SiteCurvature): number => {
  const positions = positionsPerItem(curvature);
  const { inputs, rows, trace } = curvature;
  const b = gradientDiagonal(curvature);
  if (!b || trace <= 0) return 0.5 * positions;
  const sum = (x: Float64Array): number => x.reduce((total, value) => total + value, 0);
  const groupRows = rows / inputs.length;
  const apart = inputs.reduce(
    (total, _, group) =>
      total + sum(inputDiagonal(curvature, group)) * sum(b.subarray(group * groupRows, (group + 1) * groupRows)),
    0,
  );
  return apart > 0 ? (0.5 * trace) / apart : 0.5 * positions;
};

/** Positions an item: 1 for language models scored at every token, the number of output positions for a convolution. */
export const positionsPerItem = (curvature: SiteCurvature): number =>
  curvature.items > 0 ? curvature.positions / curvature.items : 1;
