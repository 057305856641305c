import type { Site } from '../../analysis/sites.ts';
import { floatsOfArray } from '../../execution/arrays.ts';
import type { PairObservation } from '../../execution/block-runner.ts';
import { elementCount } from '../../ir/shape.ts';
import { CrossGram } from '../../kernels/index.ts';
import {
  directionsOf,
  gramObstacle,
  inputValue,
  isConvolution,
  picturesOf,
  plainConvolution,
  statesOf,
  viewKey,
} from './gram.ts';

/** Cross moments of the inputs of sites: what to observe, and where to find the sums afterwards. */
export interface SiteCrosses {
  readonly observations: readonly PairObservation[];
  /**
   * Σ x_original xᵀ (columns, columns), one a convolution group; undefined for sites with an obstacle, and where the two
   * models do not show a site the same positions.
   */
  crossesOf(site: Site): readonly CrossGram[] | undefined;
}

/** Sites that see what a router sends them: once weights have changed, it may send other tokens. */
export const isRouted = ({ role }: Site): boolean => role?.startsWith('expert-') ?? false;

/** Pairs of unfolded inputs of a convolution, one sum a group. */
const observePatches = (site: Site, crosses: readonly CrossGram[]): PairObservation => ({
  value: site.input,
  observe: async (original, present) => {
    const before = plainConvolution(site, picturesOf(original, site));
    const { pictures, geometry } = plainConvolution(site, picturesOf(present, site));
    const { batch, channels, size, data } = pictures;
    const [height, width] = size;
    for (const [group, cross] of crosses.entries())
      await cross.addPatches(before.pictures.data, data, {
        batch,
        channels,
        height,
        width,
        ...geometry,
        groups: site.groups,
        group,
      });
  },
});

/** Pairs of states of a recurrent layer, one sum a direction. */
const observeStates = (site: Site, crosses: readonly CrossGram[]): PairObservation => ({
  value: inputValue(site),
  observe: async (original, present) => {
    for (const [direction, cross] of crosses.entries()) {
      const [before, now] = [statesOf(site, original, direction), statesOf(site, present, direction)];
      await cross.add(before, now, now.length / cross.n);
    }
  },
});

const observeRows = (site: Site, cross: CrossGram): PairObservation => ({
  value: site.input,
  observe: (original, present) =>
    cross.add(floatsOfArray(original), floatsOfArray(present), elementCount(present.shape) / site.columns),
});

const observationOf = (site: Site, crosses: readonly CrossGram[]): PairObservation => {
  if (isConvolution(site)) return observePatches(site, crosses);
  return inputValue(site) === site.input ? observeRows(site, crosses[0]!) : observeStates(site, crosses);
};

/**
 * Declares G = Σ x_original xᵀ of the inputs of sites, x_original the same input in the model as it was before anything
 * was quantized: a sum for each distinct input, unfolded patches for convolutions.
 */
export const siteCrosses = (sites: readonly Site[]): SiteCrosses => {
  const byInput = new Map<Site['input'], Map<string, readonly CrossGram[]>>();
  const bySite = new Map<Site, readonly CrossGram[]>();
  const unlike = new Set<Site['input']>();
  const observations: PairObservation[] = [];
  for (const site of sites) {
    if (gramObstacle(site) || isRouted(site)) continue;
    const input = inputValue(site);
    const shared = byInput.get(input) ?? new Map<string, readonly CrossGram[]>();
    byInput.set(input, shared);
    const key = viewKey(site);
    const known = shared.get(key);
    const { columns } = site;
    const count = site.groups * directionsOf(site);
    const crosses = known ?? Array.from({ length: count }, () => new CrossGram(columns, columns));
    bySite.set(site, crosses);
    if (known) continue;
    shared.set(key, crosses);
    const { value, observe } = observationOf(site, crosses);
    observations.push({
      value,
      observe: (original, present, run) => {
        if (original.shape.join() !== present.shape.join()) unlike.add(value);
        return unlike.has(value) ? undefined : observe(original, present, run);
      },
    });
  }
  return { observations, crossesOf: (site) => (unlike.has(inputValue(site)) ? undefined : bySite.get(site)) };
};
