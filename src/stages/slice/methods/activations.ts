import { readSiteMatrix } from '../../../analysis/site-weights.ts';
import type { Site } from '../../../analysis/sites.ts';
import {
  gradientMoment,
  inputDiagonal,
  inputMoment,
  positionsPerItem,
  type SiteCurvature,
} from '../../../curvature/moments.ts';
import { damped } from '../../../curvature/obs-removal.ts';
import { CompressError } from '../../../errors.ts';
import { choleskyInverse, matmul } from '../../../kernels/index.ts';
import { orderByScores, type RankingInput, type RankingMethod } from './method.ts';

/** Scores that are sums over the columns that products read of a unit: (columns) of each product. */
const byColumns =
  (scoresOf: (site: Site, known: SiteCurvature, input: RankingInput) => Promise<ArrayLike<number>>) =>
  async (input: RankingInput) => {
    const { pool, statistics } = input;
    const scores = new Float64Array(pool.units.length);
    for (const { site, lines } of pool.consumers) {
      const known = statistics.curvature?.sites.get(site.name);
      if (!known)
        throw new CompressError({
          code: 'data',
          message: `there are no second moments of the inputs of ${site.name}`,
          where: { site: site.name },
          hint: 'Give calibration data, or choose method magnitude.',
        });
      const columns = await scoresOf(site, known, input);
      lines.forEach((list, unit) => {
        for (const column of list) scores[unit]! += columns[column]!;
      });
    }
    return orderByScores(scores);
  };

/** ‖W_:j‖² of each column. */
const columnNorms = (site: Site): Float64Array => {
  const matrix = readSiteMatrix(site);
  const norms = new Float64Array(site.columns);
  for (let index = 0; index < matrix.length; index++) norms[index % site.columns]! += matrix[index]! ** 2;
  return norms;
};

/** ‖W_:j‖ ‖x_j‖ (Wanda, Sun et al. 2024, summed over the weights of a channel). */
export const wanda: RankingMethod = {
  summary: 'size of weights times size of activations (Wanda, structured)',
  needs: 'inputs',
  allocation: 'uniform',
  rank: byColumns(async (site, known) => {
    const squares = inputDiagonal(known);
    return columnNorms(site).map((norm, column) => Math.sqrt(norm * squares[column]!));
  }),
};

/** Var(x_j) ‖W_:j‖²: what is left of a channel once its mean has gone into a bias (FLAP, An et al. 2024, section 3.2). */
export const flap: RankingMethod = {
  summary: 'fluctuation of activations times size of weights, standardised (FLAP)',
  needs: 'inputs',
  allocation: 'standardised',
  rank: byColumns(async (site, known, { statistics }) => {
    const squares = inputDiagonal(known);
    const means = statistics.means.get(site.name);
    return columnNorms(site).map((norm, column) => norm * Math.max(0, squares[column]! - (means?.[column] ?? 0) ** 2));
  }),
};

/** 1 - [A (A + λ)⁻¹]_jj turned round: how much of x_j the others cannot give (MoDeGPT, Lin et al. 2025, section 3.2). */
export const leverage: RankingMethod = {
  summary: 'ridge leverage of activations (the Nyström choice of MoDeGPT)',
  needs: 'inputs',
  allocation: 'uniform',
  rank: byColumns(async (site, known, { damp, signal }) => {
    const { columns } = site;
    const moment = inputMoment(known);
    const ridge = damped(moment, columns, damp);
    const lambda = ridge[0]! - moment[0]!;
    const inverse = await choleskyInverse(ridge, columns, { signal });
    return Float64Array.from({ length: columns }, (_, column) => 1 - lambda * inverse[column * columns + column]!);
  }),
};

/** ½ E[(x_j (Wᵀg)_j)²] as A_jj (Wᵀ B W)_jj: the loss of setting a channel to zero, nobody making up for it (Fisher pruning). */
export const fisher: RankingMethod = {
  summary: 'loss of setting a channel to zero by the Fisher information, channel by channel',
  needs: 'curvature',
  allocation: 'exact',
  rank: byColumns(async (site, known, { signal }) => {
    const { rows, columns } = site;
    const squares = inputDiagonal(known);
    const b = gradientMoment(known);
    const w = Float64Array.from(readSiteMatrix(site));
    const bw = b ? await matmul({ a: b, rows, inner: rows, b: w, columns, signal }) : w;
    const scores = new Float64Array(columns);
    for (let index = 0; index < w.length; index++) scores[index % columns]! += w[index]! * bw[index]!;
    const scale = 0.5 * positionsPerItem(known);
    return scores.map((score, column) => scale * score * squares[column]!);
  }),
};

/** E|x_j ∂L/∂x_j|: the change of the loss at first order (Molchanov et al. 2017). */
export const taylor: RankingMethod = {
  summary: 'change of the loss at first order when a channel is set to zero (Taylor)',
  needs: 'taylor',
  allocation: 'uniform',
  rank: byColumns(async (site, _known, { statistics }) => statistics.taylor.get(site.name) ?? []),
};
