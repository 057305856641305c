/** What the change of one part does to a loss that many changes make together, in the loss' unit. */
export interface PartLoss {
  /** The loss when it is the only change. */
  readonly alone: number;
  /** What the loss falls by when everything but it is changed. */
  readonly restored: number;
}

/**
 * The part of a loss that each of several changes causes: its Shapley value, the mean over all orders of making the
 * changes of what the loss rises by at its turn. For a loss that is quadratic in the changes that is exactly the mean of
 * the first and the last turn, and the parts add up to the whole; what they leave of it otherwise is of higher order, or
 * caused by changes that are not among them.
 */
export const causedBy = ({ alone, restored }: PartLoss): number => (alone + restored) / 2;

/** Standard error of the mean of independent values; undefined for fewer than two. */
export const standardError = (values: Float64Array): number | undefined => {
  const { length } = values;
  if (length < 2) return undefined;
  const mean = values.reduce((sum, value) => sum + value, 0) / length;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return Math.sqrt(squares / (length - 1) / length);
};

/** Something that can be taken, and what it is worth and costs. */
export interface Candidate {
  readonly gain: number;
  readonly cost: number;
}

/**
 * The cheapest candidates that together gain at least `wanted`: taken by falling gain per cost until what is measured
 * of all of them together suffices, then those that it takes no harm from are let go, the least worthwhile first.
 * @param measure gain of some candidates together. Called once for each halving of the list and each one let go.
 * @returns the candidates and their gain; all of them where not even they suffice.
 */
export const cheapestFor = async <Item extends Candidate>(
  candidates: readonly Item[],
  wanted: number,
  measure: (chosen: readonly Item[]) => Promise<number>,
): Promise<{ readonly chosen: readonly Item[]; readonly gain: number }> => {
  const worth = ({ gain, cost }: Item): number => (cost > 0 ? gain / cost : gain > 0 ? Number.POSITIVE_INFINITY : 0);
  const order = candidates.filter(({ gain }) => gain > 0).sort((a, b) => worth(b) - worth(a));
  let best = { chosen: order as readonly Item[], gain: order.length > 0 ? await measure(order) : 0 };
  if (best.gain < wanted) return best;
  let [least, most] = [1, order.length];
  while (least < most) {
    const middle = (least + most) >> 1;
    const chosen = order.slice(0, middle);
    const gain = await measure(chosen);
    if (gain >= wanted) {
      best = { chosen, gain };
      most = middle;
    } else least = middle + 1;
  }
  for (const item of best.chosen.toReversed()) {
    const chosen = best.chosen.filter((other) => other !== item);
    if (chosen.length === 0 || best.gain - item.gain < 0.9 * wanted) continue;
    const gain = await measure(chosen);
    if (gain >= wanted) best = { chosen, gain };
  }
  return best;
};
