import { readSiteMatrix, siteTensor } from '../../../../analysis/site-weights.ts';
import type { Site } from '../../../../analysis/sites.ts';
import { elementCount } from '../../../../ir/shape.ts';

/** Signal over rounding noise (power) of one tensor rounded to 255 steps over ±3 standard deviations: 12 · 255² / 6². */
const evenChannelRatio = (12 * 255 ** 2) / 36;

/** Share of the input channels whose weights may be smaller than the one that the estimate rests on. */
const smallShare = 0.1;

/** Squared magnitude of a site's weights by input channel: (groups · channels of a row). */
const channelEnergies = (site: Site): Float64Array => {
  const matrix = readSiteMatrix(site);
  const kernel = site.op === 'Conv' ? elementCount(siteTensor(site).shape.slice(2)) : 1;
  const channelsPerRow = site.columns / kernel;
  const rowsPerGroup = site.rows / site.groups;
  const energies = new Float64Array(channelsPerRow * site.groups);
  for (let row = 0; row < site.rows; row++) {
    const first = Math.floor(row / rowsPerGroup) * channelsPerRow;
    for (let column = 0; column < site.columns; column++)
      energies[first + Math.floor(column / kernel)]! += matrix[row * site.columns + column]! ** 2;
  }
  return energies;
};

/**
 * Signal-to-noise ratio (decibels) to expect of a product whose input is rounded with one scale, judged by the weight
 * alone. Networks tend to give every input channel its say: where the weights of a channel are a hundred times larger,
 * its values are a hundred times smaller, and the one scale is set by the channels with small weights. With input
 * deviations 1/|w_c| the signal is one per channel, and the noise, the sum of |w_c|² times a step² that the smallest
 * |w_c| decides. The smallest tenth is passed over: dead channels are silent. Infinite for a weight of zeros.
 */
export const predictedRatio = (site: Site): number => {
  const energies = channelEnergies(site)
    .filter((energy) => energy > 0)
    .sort();
  if (energies.length === 0) return Number.POSITIVE_INFINITY;
  const mean = energies.reduce((sum, energy) => sum + energy, 0) / energies.length;
  const small = energies[Math.floor(smallShare * (energies.length - 1))]!;
  return 10 * Math.log10((evenChannelRatio * small) / mean);
};
