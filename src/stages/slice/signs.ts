import { readSiteMatrix, writeSiteMatrix } from '../../analysis/site-weights.ts';
import { findSites, type Site } from '../../analysis/sites.ts';
import type { Program } from '../../ir/graph.ts';
import type { Finding } from '../../recipe/events.ts';

/** What no product multiplies: tables of which rows are read. */
const isTable = ({ op }: Site): boolean => op === 'Gather';

/** sign(W) times the mean magnitude of each row (rows, columns): of all such matrices the nearest to W. */
const signed = (weight: Float32Array, columns: number): Float32Array => {
  const found = new Float32Array(weight.length);
  for (let begin = 0; begin < weight.length; begin += columns) {
    const row = weight.subarray(begin, begin + columns);
    const magnitude = row.reduce((sum, value) => sum + Math.abs(value), 0) / columns;
    for (let column = 0; column < columns; column++) found[begin + column] = Math.sign(row[column]!) * magnitude;
  }
  return found;
};

/**
 * Leaves of every chosen weight its signs and one magnitude a row (XNOR-Net, Rastegari et al. 2016, section 3.1). Before
 * training the sizes of weights say nothing that their signs do not, so that a mask and signs are the whole model
 * (HideNseek, Hu et al. 2022; signed constants, Zhou et al. 2019).
 */
export const keepSigns = (program: Program, isChosen: (site: Site) => boolean): Finding => {
  const sites = findSites(program).filter((site) => isChosen(site) && !isTable(site));
  let [lost, whole] = [0, 0];
  for (const site of sites) {
    const weight = readSiteMatrix(site);
    const found = signed(weight, site.columns);
    weight.forEach((value, at) => {
      lost += (value - found[at]!) ** 2;
      whole += value ** 2;
    });
    writeSiteMatrix(site, found);
  }
  const share = whole > 0 ? lost / whole : 0;
  return {
    kind: 'fact',
    text: `${sites.length} weights are signs with one magnitude a row, ${(100 * share).toFixed(1)} % of their squares is lost`,
    facts: { signed_weights: sites.length, lost_squares: share },
  };
};
