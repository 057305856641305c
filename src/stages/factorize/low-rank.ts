import { readSiteMatrix, siteTensor } from '../../analysis/site-weights.ts';
import type { Site } from '../../analysis/sites.ts';
import type { CompressionChoice, CompressionOption, OptionCost } from '../../curvature/options.ts';
import type { FactoredWeight } from '../../curvature/refit-factors.ts';
import { bitsOf } from '../../ir/data-type.ts';
import type { WriteForm } from './forms/form.ts';
import { type FactorMethodName, factorMethods } from './methods/index.ts';
import type { Decomposition } from './methods/method.ts';
import { lossesByRank } from './predict.ts';
import { mostRank } from './select.ts';
import type { SiteMoments } from './site-moments.ts';

/** Keeps a weight dense, writes it with two factors of a rank, or in another form. */
export type RankChoice = 'dense' | number | WriteForm;

/** A site's decomposition and what each rank is predicted to lose, in nats an item. */
export interface Spectrum {
  readonly decomposition: Decomposition;
  /** By rank from 0 (everything gone) to the full rank. */
  readonly losses: Float64Array;
}

/** Decomposes a site's weight and predicts the loss of every rank. */
export const spectrumOf = async (
  site: Site,
  moments: SiteMoments,
  method: FactorMethodName,
  signal: AbortSignal,
): Promise<Spectrum> => {
  const { rows, columns } = site;
  const { a, b, scale } = moments;
  const weight = Float64Array.from(readSiteMatrix(site));
  const decomposition = await factorMethods[method].decompose({ weight, rows, columns, a, b, signal });
  const unit = scale === 'relative' ? 1 : scale;
  const losses = await lossesByRank({ decomposition, rows, columns, a, b, scale: unit, signal });
  const whole = losses[0]!;
  return { decomposition, losses: scale === 'relative' && whole > 0 ? losses.map((loss) => loss / whole) : losses };
};

/** A weight that is written with factors, as a refit makes them anew: B stays, A is that of the present inputs. */
export const factoredWeight = (
  site: Site,
  { b }: Pick<SiteMoments, 'b'>,
  method: FactorMethodName,
  signal: AbortSignal,
): FactoredWeight => {
  const { rows, columns } = site;
  const weight = Float64Array.from(readSiteMatrix(site));
  return {
    rows,
    columns,
    weight: () => Float64Array.from(weight),
    factors: async (corrected, a, rank) => {
      const found = await factorMethods[method].decompose({ weight: corrected, rows, columns, a, b, signal });
      return found.factors(rank);
    },
  };
};

/** What a site's weight costs as it is or with factors of a rank. */
export const rankCost = (site: Site, rank: 'dense' | number, positionsPerItem: number): OptionCost => {
  const { rows, columns } = site;
  const parameters = rank === 'dense' ? rows * columns : rank * (rows + columns);
  const bytes = (parameters * bitsOf(siteTensor(site).dtype)) / 8;
  return { bytes, parameters, operations: parameters * positionsPerItem };
};

/** A site's ranks as options: dense, and every rank (of a multiple) at which factors are smaller than the weight. */
export const rankOptions = (
  site: Site,
  losses: Float64Array,
  { positionsPerItem, multiple }: { readonly positionsPerItem: number; readonly multiple: number },
): CompressionChoice<'dense' | number> => {
  const options: CompressionOption<'dense' | number>[] = [
    { kind: 'dense', label: 'dense', cost: rankCost(site, 'dense', positionsPerItem), loss: 0, data: 'dense' },
  ];
  for (let rank = multiple; rank <= mostRank(site); rank += multiple)
    options.push({
      kind: 'low-rank',
      label: `rank ${rank}`,
      cost: rankCost(site, rank, positionsPerItem),
      loss: losses[rank]!,
      data: rank,
    });
  return { name: site.name, sites: [site.name], options };
};
