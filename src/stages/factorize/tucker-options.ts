import { readSiteMatrix, siteTensor } from '../../analysis/site-weights.ts';
import type { Site } from '../../analysis/sites.ts';
import type { CompressionOption } from '../../curvature/options.ts';
import { bitsOf } from '../../ir/data-type.ts';
import { matmul } from '../../kernels/index.ts';
import type { RankChoice } from './low-rank.ts';
import { decomposeTucker, expandTucker, type TuckerFactors, type TuckerRanks } from './methods/tucker.ts';
import type { SiteMoments } from './site-moments.ts';

/** Shares of the rows and of the channels whose ranks are offered. */
const shares = [1 / 8, 1 / 4, 3 / 8, 1 / 2, 5 / 8, 3 / 4] as const;

/** Whether a site is a convolution whose filters have several places. */
export const isSpatial = (site: Site): boolean =>
  site.op === 'Conv' &&
  siteTensor(site)
    .shape.slice(2)
    .some((length) => length > 1);

const channelsOf = (site: Site): number => siteTensor(site).shape[1]!;

const inputOf = (site: Site, { a, b }: SiteMoments, signal: AbortSignal) => ({
  weight: Float64Array.from(readSiteMatrix(site)),
  rows: site.rows,
  columns: site.columns,
  channels: channelsOf(site),
  a,
  b,
  signal,
});

/** Distinct ranks of a dimension that are multiples of a number. */
const ranksOf = (size: number, multiple: number): number[] => {
  const ranks = shares.map((part) => Math.max(multiple, Math.round((part * size) / multiple) * multiple));
  return [...new Set(ranks)].filter((rank) => rank < size);
};

export const tuckerParameters = (site: Site, ranks: TuckerRanks): number => {
  const channels = channelsOf(site);
  const places = site.columns / channels;
  return ranks.channels * channels + ranks.rows * ranks.channels * places + site.rows * ranks.rows;
};

/** A convolution as three, at ranks of outputs and of channels that make it smaller. */
export const tuckerOptions = async (
  site: Site,
  moments: SiteMoments,
  { positionsPerItem, multiple, signal }: { positionsPerItem: number; multiple: number; signal: AbortSignal },
): Promise<CompressionOption<RankChoice>[]> => {
  const input = inputOf(site, moments, signal);
  const { rows, columns } = site;
  const decomposition = await decomposeTucker(input);
  const metric = async (delta: Float64Array): Promise<number> => {
    const da = await matmul({ a: delta, rows, inner: columns, b: moments.a, columns, signal });
    const bda = moments.b ? await matmul({ a: moments.b, rows, inner: rows, b: da, columns, signal }) : da;
    return delta.reduce((sum, value, index) => sum + value * bda[index]!, 0);
  };
  const unit =
    moments.scale === 'relative' ? 1 / Math.max(await metric(input.weight), Number.MIN_VALUE) : moments.scale;
  const options: CompressionOption<RankChoice>[] = [];
  for (const outer of ranksOf(rows, multiple))
    for (const inner of ranksOf(input.channels, multiple)) {
      const ranks = { rows: outer, channels: inner };
      const parameters = tuckerParameters(site, ranks);
      if (parameters >= rows * columns) continue;
      const made = await expandTucker(await decomposition.factors(ranks), ranks, input);
      const loss = unit * Math.max(0, await metric(input.weight.map((value, index) => value - made[index]!)));
      const bytes = (parameters * bitsOf(siteTensor(site).dtype)) / 8;
      options.push({
        kind: 'tucker',
        label: `Tucker ranks ${outer} × ${inner}`,
        cost: { bytes, parameters, operations: parameters * positionsPerItem },
        loss,
        data: ranks,
      });
    }
  return options;
};

/** The factors of a choice, made again when it was taken. */
export const tuckerFactors = async (
  site: Site,
  moments: SiteMoments,
  ranks: TuckerRanks,
  signal: AbortSignal,
): Promise<TuckerFactors> => (await decomposeTucker(inputOf(site, moments, signal))).factors(ranks);
