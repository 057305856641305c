import { orderByScores, type RankingMethod } from './method.ts';

/** Saliency x_j ∂R/∂x_j of the network of |W|, summed over the products that read a channel. */
export const synflow: RankingMethod = {
  summary: 'flow through the sizes of the weights, without data, before training too (SynFlow, FedPaI, HideNseek)',
  needs: 'flow',
  allocation: 'uniform',
  rank: async ({ pool, statistics }) => {
    const scores = new Float64Array(pool.units.length);
    for (const { site, lines } of pool.consumers) {
      const columns = statistics.taylor.get(site.name);
      lines.forEach((list, unit) => {
        for (const column of list) scores[unit]! += columns?.[column] ?? 0;
      });
    }
    return orderByScores(scores);
  },
};
