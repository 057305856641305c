import type { RemovalOrder } from '../../../curvature/obs-removal.ts';
import type { WeightCosts } from '../../../curvature/removal/costs.ts';
import type { RemovalPool } from '../../../curvature/removal/pools.ts';
import type { SliceStatistics, StatisticsNeed } from '../statistics.ts';

/** What a ranking of channels is made from. */
export interface RankingInput {
  readonly pool: RemovalPool;
  readonly costs: WeightCosts;
  readonly statistics: SliceStatistics;
  /** λ as a share of the mean diagonal of A. */
  readonly damp: number;
  readonly signal: AbortSignal;
}

/**
 * How removals are shared among pools: by least predicted loss ('exact'), the same along one order in which smaller
 * models are parts of larger ones ('nested'), alike everywhere, or by scores standardised in each pool.
 */
export type AllocationRule = 'exact' | 'nested' | 'uniform' | 'standardised';

/** One way to say which channels matter least. */
export interface RankingMethod {
  readonly summary: string;
  readonly needs: StatisticsNeed;
  /** Rule that the method was published with, or that suits its units. */
  readonly allocation: AllocationRule;
  rank(input: RankingInput): Promise<RemovalOrder>;
}

/** The order by rising scores, each unit judged by itself: losses are the sums of scores. */
export const orderByScores = (scores: ArrayLike<number>): RemovalOrder => {
  const order = Array.from({ length: scores.length }, (_, unit) => unit).sort(
    (a, b) => scores[a]! - scores[b]! || a - b,
  );
  const losses = new Float64Array(order.length + 1);
  order.forEach((unit, index) => {
    losses[index + 1] = losses[index]! + scores[unit]!;
  });
  return { order, losses };
};
