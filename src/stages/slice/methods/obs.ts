import { curvatureOrder } from '../../../curvature/removal/choices.ts';
import { CompressError } from '../../../errors.ts';
import type { RankingMethod } from './method.ts';

/** Optimal brain surgeon in the curvature metric: what removal costs once the others have made up for it. */
export const obs: RankingMethod = {
  summary: 'optimal brain surgeon in the curvature metric',
  needs: 'curvature',
  allocation: 'exact',
  rank: async ({ pool, costs, statistics, damp, signal }) => {
    const { curvature } = statistics;
    if (!curvature) throw new CompressError({ code: 'data', message: 'method obs needs calibration data' });
    return curvatureOrder(pool, curvature, costs, { damp, signal });
  },
};
